// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// maxValue bounds a value, in bytes.
const maxValue = 64 << 20

// How the file of a value begins: with a mark, and the number of its form, which
// grows when older versions of this program can't read it.
const (
	valueMark = "inlay-value "
	valueForm = "1 "

	headerSize = int64(len(valueMark+valueForm) + 2*sha256.Size + len("\n"))
)

// ErrForm says of a value that is fs.ErrNotExist that it is there, in the form of
// another version of this program.
var ErrForm = errors.New("it has the form of another version")

// Values is a directory of small named values, each a file with a checksum. A
// value is got as it was put or not at all.
//
// Names are plain file names: printable, at most 200 bytes, no slashes or
// backslashes, no dot in front.
type Values struct {
	Dir string
	// Synced makes Put wait for the disk, which takes longer than all else in a
	// small build. Without it what was put last may be gone after a power cut:
	// that is well for what can be made again, and for records of it.
	Synced bool
}

// Get returns the value put under name. Where there is none, or it is damaged
// or written by a version with another format, the error is fs.ErrNotExist.
// Getting a value counts as using it, see Touch.
func (v Values) Get(name string) ([]byte, error) {
	b, err := v.Peek(name)
	if err == nil {
		Touch(filepath.Join(v.Dir, name))
	}
	return b, err
}

// Use does for a value what Get does, but for reading it, and reports whether
// there is one.
func (v Values) Use(name string) bool {
	return checkName(name) == nil && Touch(filepath.Join(v.Dir, name))
}

// Peek is a Get that doesn't count as use. Its error is also ErrForm where that
// is why.
func (v Values) Peek(name string) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(v.Dir, name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := readAll(f, maxValue+headerSize)
	if err != nil {
		return nil, fmt.Errorf("reading value %s: %w", name, err)
	}
	head, value, _ := bytes.Cut(b, []byte("\n"))
	switch {
	case bytes.Equal(append(head, '\n'), header(name, value)):
		return value, nil
	case bytes.HasPrefix(head, []byte(valueMark)) && !bytes.HasPrefix(head, []byte(valueMark+valueForm)):
		return nil, fmt.Errorf("value %s: %w: %w", name, ErrForm, fs.ErrNotExist)
	default:
		return nil, fmt.Errorf("value %s is damaged: %w", name, fs.ErrNotExist)
	}
}

// readAll reads f up to a limit, all at once: a build reads dozens of values, and
// most of them are small.
func readAll(f *os.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(int(min(info.Size(), limit)) + bytes.MinRead) // room that tells the end
	_, err = b.ReadFrom(io.LimitReader(f, limit))
	return b.Bytes(), err
}

// Put stores b, at most 64 MiB, under name, in place of what was there.
func (v Values) Put(name string, b []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	if len(b) > maxValue {
		return fmt.Errorf("value %s has %d bytes, more than the %d that can be stored", name, len(b), maxValue)
	}
	f, err := Create(v.Dir)
	if err != nil {
		return fmt.Errorf("storing %s: %w", name, err)
	}
	defer f.Abort()
	for _, part := range [][]byte{header(name, b), b} {
		if _, err := f.Write(part); err != nil {
			return fmt.Errorf("storing %s: %w", name, err)
		}
	}
	show := f.show
	if v.Synced {
		show = f.Commit
	}
	if _, err := show(name); err != nil {
		return fmt.Errorf("storing %s: %w", name, err)
	}
	return nil
}

// Delete removes the value of name, if there is one.
func (v Values) Delete(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(v.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return dirError(v.Dir, err)
	}
	return nil
}

// List returns the names under which something is stored, sorted. It doesn't
// look whether it is whole.
func (v Values) List() ([]string, error) {
	files, err := List(v.Dir)
	if err != nil {
		return nil, fmt.Errorf("listing values: %w", err)
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name()
	}
	return names, nil
}

// checkName accepts plain, visible file names: they are listed and printed.
func checkName(name string) error {
	odd := func(r rune) bool { return r == '/' || r == '\\' || r == unicode.ReplacementChar || !unicode.IsPrint(r) }
	if name == "" || len(name) > 200 || strings.HasPrefix(name, ".") || strings.ContainsFunc(name, odd) {
		return fmt.Errorf("%q can't be the name of a value", name)
	}
	return nil
}

// header returns the first line of the file that holds value. The name is under
// the checksum too, so a value that was renamed or copied is no value.
func header(name string, value []byte) []byte {
	h := sha256.New()
	_, _ = io.WriteString(h, name+"\n") // a hash takes everything
	_, _ = h.Write(value)
	return fmt.Appendf(nil, valueMark+valueForm+"%x\n", h.Sum(nil))
}
