// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"crypto/md5" //nolint:gosec // what ucf's database holds
	"encoding/hex"
	"errors"
	"io/fs"
	"path"
	"strings"

	"inlay/assemble/script"
)

const (
	ucfHashes   = "/var/lib/ucf/hashfile"
	ucfRegistry = "/var/lib/ucf/registry"
)

// ucf puts a configuration file into its place if nothing is there, and
// remembers its sum. What is there and differs is for somebody to decide.
func ucf(_ context.Context, c *script.Call) error {
	set, rest, err := c.Flags("p", "three-way", "debconf-ok", "purge:p", "sum-file=", "src-dir=")
	if err != nil {
		return err
	}
	if _, purge := set["p"]; purge || set["sum-file"] != "" || len(rest) != 2 {
		return c.Usage()
	}
	from, to := c.Abs(rest[0]), c.Abs(rest[1])
	if real, err := c.Tree.Resolve(to); err == nil {
		to = "/" + real
	}
	body, err := c.Tree.ReadFile(from)
	if err != nil {
		return c.Fail(err)
	}
	if err := ucfPut(c, from, to, body); err != nil {
		return c.Fail(err)
	}
	if _, threeWay := set["three-way"]; threeWay {
		if err := writeWithDir(c, "/var/lib/ucf/cache/"+strings.ReplaceAll(to, "/", ":"), body, 0o644); err != nil {
			return c.Fail(err)
		}
	}
	sum := md5.Sum(body) //nolint:gosec // see above
	if err := ucfLine(c, ucfHashes, hex.EncodeToString(sum[:])+"  "+to, to); err != nil {
		return c.Fail(err)
	}
	return nil
}

// ucfPut puts body where nothing is.
func ucfPut(c *script.Call, from, to string, body []byte) error {
	old, err := c.Tree.ReadFile(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		at, err := c.Tree.Stat(from)
		if err != nil {
			return err
		}
		return writeWithDir(c, to, body, at.Mode)
	case err == nil && string(old) != string(body):
		return &script.UnsupportedError{Needs: "ucf to decide about " + to}
	}
	return err
}

func writeWithDir(c *script.Call, name string, body []byte, mode fs.FileMode) error {
	if err := c.Tree.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return c.Tree.WriteFile(name, body, mode)
}

// ucfr remembers which package a configuration file belongs to.
func ucfr(_ context.Context, c *script.Call) error {
	set, rest, err := c.Flags("fp", "force:f", "purge:p")
	if err != nil {
		return err
	}
	if _, purge := set["p"]; purge || len(rest) != 2 {
		return c.Usage()
	}
	if err := ucfLine(c, ucfRegistry, rest[0]+"\t"+c.Abs(rest[1]), c.Abs(rest[1])); err != nil {
		return c.Fail(err)
	}
	return nil
}

// ucfLine puts the line about a file into a database.
func ucfLine(c *script.Call, db, line, file string) error {
	old, err := text(c.Tree, db)
	if err != nil {
		return err
	}
	var b strings.Builder
	for l := range strings.Lines(old) {
		if words := strings.Fields(l); len(words) < 2 || words[1] != file {
			b.WriteString(l)
		}
	}
	b.WriteString(line + "\n")
	return c.Tree.WriteFile(db, []byte(b.String()), 0o644)
}
