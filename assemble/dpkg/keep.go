// SPDX-License-Identifier: Apache-2.0

package dpkg

import (
	"bytes"
	"io"
	"path"
	"strings"

	"inlay/layers"
)

// Bounds of what is kept of a parent image: of the files that scripts may read,
// and of those that are programs themselves.
const (
	maxKeptFile   = 16 << 20
	maxKeptShare  = 64 << 10
	maxKeptScript = 256 << 10
)

// KeepForm grows when Keep keeps other files: what it kept is remembered.
const KeepForm = 1

// dropped are directories of which nothing is kept: what is in them is large, or
// secret, and no script of a package reads it.
var dropped = []string{
	"var/lib/apt/lists/", "var/cache/apt/", "usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/zoneinfo/",
	"usr/share/info/", "usr/share/perl/", "usr/share/fonts/", "usr/share/icons/", "etc/apt/auth.conf",
}

// Keep says which files of a parent image have to be at hand: dpkg's database,
// the configuration, and what maintainer scripts read or run (layers.Keep). A
// script that reads another file of the parent is not run.
func Keep(e layers.Entry) func(io.Reader) ([]byte, error) {
	for _, d := range dropped {
		if strings.HasPrefix(e.Path, d) {
			return nil
		}
	}
	dir, base := path.Split(e.Path)
	switch {
	case dir == infoDir && (path.Ext(base) == ".md5sums" || path.Ext(base) == ".symbols" || path.Ext(base) == ".shlibs"):
		return nil
	case under(e.Path, "etc/", "var/lib/", "usr/local/share/ca-certificates/") && e.Size <= maxKeptFile,
		e.Path == "var/cache/debconf/config.dat" && e.Size <= maxKeptFile,
		under(e.Path, "usr/share/ca-certificates/", "usr/share/i18n/") && e.Size <= maxKeptFile,
		under(e.Path, "usr/share/", "usr/lib/sysusers.d/") && e.Size <= maxKeptShare:
		return io.ReadAll
	case under(e.Path, "usr/bin/", "usr/sbin/", "bin/", "sbin/", "usr/lib/", "lib/") && e.Mode&0o111 != 0 && e.Size <= maxKeptScript:
		return scriptOnly
	}
	return nil
}

// KeepStatus keeps what Unfinished reads (layers.Keep).
func KeepStatus(e layers.Entry) func(io.Reader) ([]byte, error) {
	if e.Path == statusFile {
		return io.ReadAll
	}
	return nil
}

func under(p string, dirs ...string) bool {
	for _, d := range dirs {
		if strings.HasPrefix(p, d) {
			return true
		}
	}
	return false
}

// scriptOnly keeps a file that is a script.
func scriptOnly(r io.Reader) ([]byte, error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(r, head); err != nil || !bytes.Equal(head, []byte("#!")) {
		return nil, nil //nolint:nilerr // what is shorter is no script
	}
	rest, err := io.ReadAll(r)
	return append(head, rest...), err
}
