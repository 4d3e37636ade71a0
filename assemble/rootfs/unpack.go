// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"inlay/layers"
)

// What a process that has the ids of a sandbox does for a Store, by name.
const (
	UnpackTask = "rootfs-unpack" // unpacks what Store gives it
	SumTask    = "rootfs-sum"    // sums up what is there
)

// Task does what name says in the directory dir, and writes the sum of what is
// in it then to out. With oneID all files are this user's own.
func Task(ctx context.Context, name, dir string, oneID bool, in io.Reader, out io.Writer) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only a handle
	h := &hand{root: root, owners: !oneID, dirs: map[string]*tar.Header{}, sums: map[string]string{}}
	defer h.close()
	if name == UnpackTask {
		if err := h.unpack(ctx, in); err != nil {
			return err
		}
	}
	sum, err := sum(ctx, root, h.sums)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, sum)
	return err
}

// A hand unpacks a tar that a flattener wrote. It follows no link on the disk.
type hand struct {
	root   *os.Root
	owners bool
	dirs   map[string]*tar.Header // to be finished
	sums   map[string]string      // of contents, by path
	marked bool                   // some files are marks of removed ones

	at     *os.Root // the directory of the last file
	atName string
}

func (h *hand) close() {
	if h.at != nil {
		_ = h.at.Close() // only a handle
		h.at = nil
	}
}

func (h *hand) unpack(ctx context.Context, in io.Reader) error {
	for r := tar.NewReader(in); ; {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return h.finish()
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := h.add(path.Clean(e.Name), e, r); err != nil {
			return fmt.Errorf("unpacking %q: %w", e.Name, err)
		}
	}
}

func (h *hand) add(p string, e *tar.Header, body io.Reader) error {
	if e.Typeflag == tar.TypeDir {
		return h.dir(p, e)
	}
	if err := h.vacate(p); err != nil {
		return err
	}
	dir, err := h.open(path.Dir(p))
	if err != nil {
		return err
	}
	base := path.Base(p)
	switch e.Typeflag {
	case tar.TypeChar:
		return in(h.root, path.Dir(p), func(d *os.File) error {
			marked, err := whiteout(d, base)
			h.marked = h.marked || marked
			return err
		})
	case tar.TypeLink:
		if s, ok := h.sums[e.Linkname]; ok {
			h.sums[p] = s
		}
		return h.root.Link(e.Linkname, p)
	case tar.TypeSymlink:
		if err := dir.Symlink(e.Linkname, base); err != nil || !h.owners {
			return err
		}
		return dir.Lchown(base, e.Uid, e.Gid)
	default:
		return h.file(dir, p, e, body)
	}
}

// in runs f on the directory p.
func in(root *os.Root, p string, f func(*os.File) error) error {
	d, err := root.Open(p)
	if err != nil {
		return err
	}
	return errors.Join(f(d), d.Close())
}

// vacate removes what is at p.
func (h *hand) vacate(p string) error {
	if h.marked {
		if err := h.root.Remove(path.Join(path.Dir(p), layers.WhiteoutPrefix+path.Base(p))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if _, err := h.root.Lstat(p); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if h.dirs[p] != nil {
		h.close()
	}
	inside := func(k string) bool { return k == p || strings.HasPrefix(k, p+"/") }
	maps.DeleteFunc(h.dirs, func(k string, _ *tar.Header) bool { return inside(k) })
	maps.DeleteFunc(h.sums, func(k, _ string) bool { return inside(k) })
	return h.root.RemoveAll(p)
}

func (h *hand) dir(p string, e *tar.Header) error {
	if h.dirs[p] == nil && p != "." {
		if err := h.vacate(p); err != nil {
			return err
		}
		if err := h.root.Mkdir(p, 0o700); err != nil {
			return err
		}
	}
	h.dirs[p] = e
	if e.PAXRecords[opaqueRecord] == "" {
		return nil
	}
	return in(h.root, p, setOpaque)
}

func (h *hand) file(dir *os.Root, p string, e *tar.Header, body io.Reader) error {
	f, err := dir.OpenFile(path.Base(p), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // once more on an error
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, sum), body); err != nil {
		return err
	}
	if err := h.dress(f, e); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	h.sums[p] = fmt.Sprintf("%x", sum.Sum(nil))
	return dir.Chtimes(path.Base(p), e.ModTime, e.ModTime)
}

// dress gives a file its owner and mode, in the order in which neither takes
// away what the other gave.
func (h *hand) dress(f *os.File, e *tar.Header) error {
	if h.owners {
		if err := f.Chown(e.Uid, e.Gid); err != nil {
			return err
		}
		if c := e.PAXRecords[capabilityRecord]; c != "" {
			if err := setCapability(f, c); err != nil {
				return err
			}
		}
	}
	return f.Chmod(layers.FileMode(uint32(e.Mode))) //nolint:gosec // twelve bits
}

// open returns the directory p, which is kept open for the next.
func (h *hand) open(p string) (*os.Root, error) {
	if h.at != nil && h.atName == p {
		return h.at, nil
	}
	h.close()
	at, err := h.root.OpenRoot(p)
	if err != nil {
		return nil, err
	}
	h.at, h.atName = at, p
	return at, nil
}

// finish gives the directories what they are, those inside first: a directory
// that is read-only takes no files.
func (h *hand) finish() error {
	if h.dirs["."] == nil {
		h.dirs["."] = &tar.Header{Mode: 0o755, ModTime: time.Unix(0, 0)}
	}
	for _, p := range slices.Backward(slices.Sorted(maps.Keys(h.dirs))) {
		e := h.dirs[p]
		if h.owners {
			if err := h.root.Chown(p, e.Uid, e.Gid); err != nil {
				return err
			}
		}
		if err := h.root.Chmod(p, layers.FileMode(uint32(e.Mode))); err != nil { //nolint:gosec // twelve bits
			return err
		}
		if err := h.root.Chtimes(p, e.ModTime, e.ModTime); err != nil {
			return err
		}
	}
	return nil
}
