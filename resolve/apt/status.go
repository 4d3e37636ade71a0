// SPDX-License-Identifier: Apache-2.0

package apt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"inlay/resolve/apt/archive"
	"inlay/resolve/apt/deb822"
	"inlay/resolve/apt/setup"
)

// Where dpkg keeps what is installed: in one file or, in images without dpkg,
// in a file for each package.
const (
	statusFile = "var/lib/dpkg/status"
	statusDir  = "var/lib/dpkg/status.d"
)

// Reads reports whether Open may want the content of the file of that path from
// the root of a parent, which has no slash in front.
func Reads(name string) bool {
	return name == statusFile || path.Dir(name) == statusDir && path.Ext(name) != ".md5sums" || setup.Reads(name)
}

// A status is what is installed.
type status struct {
	text   string // stanzas, reduced
	sha256 string // of the file; in a parent without dpkg, of all files in turn
	alone  bool   // there is a file for each package
}

func readStatus(root fs.FS) (*status, error) {
	b, err := fs.ReadFile(root, statusFile)
	s := &status{}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading %s: %w", statusFile, err)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		if b, err = readStatusDir(root); err != nil {
			return nil, err
		}
		s.alone = len(b) > 0
	}
	sum := sha256.Sum256(b)
	s.sha256 = hex.EncodeToString(sum[:])
	if s.text, err = archive.Reduce(bytes.NewReader(b)); err != nil {
		return nil, fmt.Errorf("reading what the parent has installed: %w", err)
	}
	return s, nil
}

// readStatusDir returns the files for single packages as one.
func readStatusDir(root fs.FS) ([]byte, error) {
	entries, err := fs.ReadDir(root, statusDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", statusDir, err)
	}
	var all []byte
	for _, e := range entries {
		name := path.Join(statusDir, e.Name())
		if !Reads(name) {
			continue
		}
		b, err := fs.ReadFile(root, name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		all = append(append(all, bytes.TrimRight(b, "\n")...), "\n\n"...)
	}
	return all, nil
}

// addInstalled reads what is installed into u.
func (u *universe) addInstalled(s *status) error {
	for stanza := range deb822.Split(s.text) {
		want, state, err := stateOf(stanza)
		if err != nil {
			return err
		}
		arch := stanza.Get("Architecture")
		if state && arch != u.arch && arch != "all" {
			return &ParentError{stanza.Get("Package"), "is installed for " + arch + ", and packages of several architectures in one parent aren't supported"}
		}
		v := u.read(stanza, nil)
		if v == nil || !state {
			continue
		}
		v.pkg.current = v
		v.pkg.held = want == "hold"
		u.installed = append(u.installed, v.pkg)
	}
	return nil
}

// stateOf returns what is wanted of a package and whether it is installed.
func stateOf(stanza deb822.Stanza) (want string, installed bool, err error) {
	words := strings.Fields(stanza.Get("Status"))
	if len(words) == 0 {
		return "install", true, nil // a file for one package has no status
	}
	if len(words) != 3 {
		return "", false, &ParentError{stanza.Get("Package"), fmt.Sprintf("has the status %q, want three words", stanza.Get("Status"))}
	}
	switch state := words[2]; state {
	case "installed":
		if words[1] == "ok" {
			return words[0], true, nil
		}
		return "", false, &ParentError{stanza.Get("Package"), "has the error flag " + words[1]}
	case "config-files", "not-installed":
		return words[0], false, nil
	default:
		return "", false, &ParentError{stanza.Get("Package"), "is " + state + ", and not installed in full"}
	}
}
