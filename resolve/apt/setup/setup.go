// SPDX-License-Identifier: Apache-2.0

// Package setup reads how apt is set up in a tree, such as that of an image:
// its sources, keyrings, preferences and configuration. It reads no other tree:
// neither this machine's files nor anything behind a link that leads out.
package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A Setup is how apt is set up.
type Setup struct {
	Sources  []Source // in the order in which apt reads them
	Pins     []Pin    // the first that fits counts
	Conf     Conf
	Keyrings map[string][]byte // by path from the root, without a slash in front
}

// An Error reports a line that can't be understood.
type Error struct {
	File    string
	Line    int
	Problem string // a sentence without its subject
}

func (e *Error) Error() string { return fmt.Sprintf("line %d of %s %s", e.Line, e.File, e.Problem) }

// Hint says what can be done about a file of a parent image.
func (e *Error) Hint() string {
	return "mend the file in the parent image, or name a `parent_image` without it"
}

// maxFile bounds a file, in bytes.
const maxFile = 16 << 20

// Reads reports whether Read may want the file of that path from the root,
// which has no slash in front. Files that sources name as keyrings may be
// elsewhere, but hardly are.
func Reads(name string) bool {
	dir, base := path.Split(name)
	switch dir {
	case "etc/apt/":
		return slices.Contains([]string{"sources.list", "preferences", "apt.conf", "trusted.gpg"}, base)
	case "etc/apt/sources.list.d/", "etc/apt/preferences.d/", "etc/apt/apt.conf.d/":
		return true
	case "etc/apt/trusted.gpg.d/", "etc/apt/keyrings/", "usr/share/keyrings/", "usr/local/share/keyrings/":
		return isKeyring(base)
	default:
		return false
	}
}

func isKeyring(name string) bool {
	return slices.Contains([]string{".gpg", ".asc", ".pgp"}, path.Ext(name))
}

// Read reads the setup in the tree root. A file that isn't there says nothing.
func Read(root fs.FS) (*Setup, error) {
	s := &Setup{Conf: Conf{}, Keyrings: map[string][]byte{}}
	if err := s.readConf(root); err != nil {
		return nil, err
	}
	if err := s.readSources(root); err != nil {
		return nil, err
	}
	if err := s.readPins(root); err != nil {
		return nil, err
	}
	return s, s.readKeyrings(root)
}

// readConf reads the fragments, then the main file, as apt does.
func (s *Setup) readConf(root fs.FS) error {
	names, err := fragments(root, "etc/apt/apt.conf.d", "", ".conf")
	if err != nil {
		return err
	}
	return each(root, append(names, "etc/apt/apt.conf"), s.Conf.read)
}

func (s *Setup) readSources(root fs.FS) error {
	names, err := fragments(root, "etc/apt/sources.list.d", ".list", ".sources")
	if err != nil {
		return err
	}
	return each(root, append([]string{"etc/apt/sources.list"}, names...), func(file, text string) error {
		parse := parseList
		if path.Ext(file) == ".sources" {
			parse = parseStanzas
		}
		more, err := parse(file, text)
		s.Sources = append(s.Sources, more...)
		return err
	})
}

func (s *Setup) readPins(root fs.FS) error {
	names, err := fragments(root, "etc/apt/preferences.d", "", ".pref")
	if err != nil {
		return err
	}
	return each(root, append([]string{"etc/apt/preferences"}, names...), func(file, text string) error {
		more, err := parsePins(file, text)
		s.Pins = append(s.Pins, more...)
		return err
	})
}

// readKeyrings reads the keys that apt trusts for every source, and those that
// sources name.
func (s *Setup) readKeyrings(root fs.FS) error {
	names, err := fragments(root, trustedDir, ".gpg", ".asc")
	if err != nil {
		return err
	}
	names = append(names, trustedFile)
	for _, source := range s.Sources {
		for _, by := range source.SignedBy {
			if strings.HasPrefix(by, "/") {
				names = append(names, KeyringPath(by))
			}
		}
	}
	return each(root, names, func(file, text string) error {
		s.Keyrings[file] = []byte(text)
		return nil
	})
}

const (
	trustedFile = "etc/apt/trusted.gpg"
	trustedDir  = "etc/apt/trusted.gpg.d"
)

// KeyringPath returns the path from the root of a keyring that a source names.
func KeyringPath(signedBy string) string { return strings.TrimPrefix(path.Clean(signedBy), "/") }

// Trusted reports whether apt trusts the keys of the keyring of that path for
// sources that name none.
func Trusted(name string) bool { return name == trustedFile || path.Dir(name) == trustedDir }

// fragments lists the files of dir that have one of the extensions, sorted. apt
// ignores names with other letters than these.
func fragments(root fs.FS, dir string, extensions ...string) ([]string, error) {
	entries, err := fs.ReadDir(root, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:", r)
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, ".") && slices.Contains(extensions, path.Ext(name)) && !strings.ContainsFunc(name, odd) {
			names = append(names, path.Join(dir, name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// each calls read with the content of each file that exists.
func each(root fs.FS, names []string, read func(file, text string) error) error {
	for _, name := range names {
		b, err := readFile(root, name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		if err := read(name, string(b)); err != nil {
			return err
		}
	}
	return nil
}

func readFile(root fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(root, name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() || info.Size() > maxFile {
		return nil, fmt.Errorf("it is a directory, or larger than %d MiB", maxFile>>20)
	}
	return fs.ReadFile(root, name)
}
