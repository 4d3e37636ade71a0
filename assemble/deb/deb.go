// SPDX-License-Identifier: Apache-2.0

// Package deb reads Debian binary packages (deb(5)). A package is input that
// somebody else wrote: names that lead out of the root, device nodes, members
// of unknown kinds and contents beyond their bounds are refused, and what is
// read fits into memory whatever a package says of itself. The files of a
// package can be kept unpacked, in a [Store], so that a package is decompressed
// once.
package deb

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// What a package may hold at most. The limits stand far above those of any
// archive and low enough that a package made to harm is an error.
const (
	maxControl     = 32 << 20 // bytes of control.tar
	maxControlFile = 16 << 20 // bytes of one of its files
	maxFiles       = 1 << 20  // entries of data.tar
	maxName        = 4096     // bytes of a name or of a link's target, as PATH_MAX
	maxInstalled   = 1 << 40  // bytes that a package may say it takes
)

// A FormatError reports a package that is damaged or made to harm.
type FormatError struct {
	Package string // the name it was opened under
	Problem string
}

func (e *FormatError) Error() string { return fmt.Sprintf("package %s %s", e.Package, e.Problem) }

// An archive is an opened .deb: where its members are and, once it was read,
// what control.tar holds.
type archive struct {
	name    string
	first   member // control.tar
	data    member
	control map[string][]byte
	limit   int64 // bytes of data.tar
}

// A member is one of those of an ar.
type member struct {
	name string
	*io.SectionReader
}

// open reads where the members of a .deb are.
func open(name string, file io.ReaderAt, size int64) (*archive, error) {
	members, err := arMembers(file, size)
	if err != nil {
		return nil, &FormatError{name, err.Error()}
	}
	a := &archive{name: name}
	if err := a.arrange(members); err != nil {
		return nil, &FormatError{name, err.Error()}
	}
	return a, nil
}

// readControl reads control.tar, and what it says of data.tar.
func (a *archive) readControl(ctx context.Context) (err error) {
	if err := a.keepControl(ctx); err != nil {
		return a.wrap("control.tar", err)
	}
	if a.limit, err = dataLimit(a.control["control"]); err != nil {
		return &FormatError{a.name, err.Error()}
	}
	return nil
}

// wrap says where an error comes from: bad bytes are the package's fault, an
// error of the disk or a cancelled call is not.
func (a *archive) wrap(what string, err error) error {
	var bad *FormatError
	if errors.As(err, &bad) {
		return &FormatError{a.name, bad.Problem}
	}
	return fmt.Errorf("reading %s of package %s: %w", what, a.name, err)
}

// arrange checks that the members are those of deb(5), in their order. Members
// whose name begins with "_" are for others.
func (a *archive) arrange(members []member) error {
	var known []member
	for _, m := range members {
		if !strings.HasPrefix(m.name, "_") {
			known = append(known, m)
		}
	}
	if len(known) != 3 || known[0].name != "debian-binary" ||
		!strings.HasPrefix(known[1].name, "control.tar") || !strings.HasPrefix(known[2].name, "data.tar") {
		return errors.New("does not consist of debian-binary, control.tar and data.tar")
	}
	version := make([]byte, min(known[0].Size(), 16))
	if _, err := known[0].ReadAt(version, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("can't be read: %w", err)
	}
	if !bytes.HasPrefix(version, []byte("2.")) {
		return fmt.Errorf("is of format %q, not 2", strings.TrimSpace(string(version)))
	}
	a.first, a.data = known[1], known[2]
	return nil
}

// keepControl keeps the files of control.tar, which has no directories.
func (a *archive) keepControl(ctx context.Context) error {
	r, err := decompress(ctx, a.first)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // only read
	a.control = make(map[string][]byte)
	tr := tar.NewReader(&bounded{r: r, left: maxControl, what: "control.tar"})
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		if h.Typeflag != tar.TypeReg || strings.Contains(name, "/") {
			continue
		}
		b, err := io.ReadAll(&bounded{r: tr, left: maxControlFile, what: "file " + strconv.Quote(name) + " of control.tar"})
		if err != nil {
			return err
		}
		a.control[name] = b
	}
	if a.control["control"] == nil {
		return &FormatError{Problem: "has no control file"}
	}
	return nil
}

// dataLimit bounds data.tar by what the package says that it takes when it is
// installed.
func dataLimit(control []byte) (int64, error) {
	kib := int64(0)
	for line := range strings.Lines(string(control)) {
		if v, ok := strings.CutPrefix(line, "Installed-Size:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil || n < 0 || n > maxInstalled>>10 {
				return 0, fmt.Errorf("has an Installed-Size that is no size, %q", strings.TrimSpace(v))
			}
			kib = n
		}
	}
	return kib<<10*4 + 64<<20, nil
}

// bounded reads at most left bytes of r: one more is a *FormatError.
type bounded struct {
	r    io.Reader
	left int64
	what string
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, &FormatError{Problem: "holds too much: its " + b.what + " is beyond its bound"}
	}
	return n, err
}
