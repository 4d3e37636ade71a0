// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"inlay/cache/disk"
)

// tag marks the directory: as a cache to programs that make backups, and as
// ours to Trim, which deletes in it. Its first line is that of the Cache
// Directory Tagging Specification.
const (
	tagFile = "CACHEDIR.TAG"
	tag     = tagStart + "\n"
	// A version that keeps things in another way writes more into the second
	// line. Other content alone takes no other tag: names and values of the
	// cache say their version themselves, and what isn't known is a miss.
	tagStart = "Signature: 8a477f597d28d172789f06886806bc55\n# cache of inlay"
	tagMore  = "# All in here can be made again. To see it: inlay cache show. To delete it: inlay cache prune.\n"
)

// Dir is a cache in a local directory. Processes on one machine can share it.
type Dir struct {
	// CheckUnpacked returns what is wrong with a file of Unpacked, for Verify;
	// nil checks none.
	CheckUnpacked func(ctx context.Context, path string) error
	// CheckTree does the same for a directory of Trees, and RemoveTree removes
	// one, which may hold files of others; nil does it as with any other.
	CheckTree  func(ctx context.Context, path string) error
	RemoveTree func(ctx context.Context, path string) error

	root string
}

// Open returns the cache in the directory root, which it makes and marks as a
// cache if need be. A root that holds something else under the names the cache
// would use is a *ForeignError, one that another version keeps in another way a
// *VersionError, one that can't be written a *disk.DirError.
func Open(root string) (*Dir, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("opening the cache: %w", err)
	}
	d := &Dir{root: root}
	if ours, err := d.isOurs(); ours || err != nil {
		return d, err
	}
	for _, k := range Kinds() {
		if _, err := os.Lstat(d.Path(k)); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("opening the cache: %w", err)
		}
		// Not ours, unless another process has made it between the two looks.
		if ours, err := d.isOurs(); ours || err != nil {
			return d, err
		}
		return nil, &ForeignError{Root: root, Path: d.Path(k)}
	}
	if err := d.mark(); err != nil {
		return nil, fmt.Errorf("opening the cache: %w", err)
	}
	return d, nil
}

// isOurs reports whether the root is marked as a cache of inlay.
func (d *Dir) isOurs() (bool, error) {
	path := filepath.Join(d.root, tagFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("opening the cache: %w", err)
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, len(tag))
	switch n, err := f.Read(b); {
	case err == nil && string(b[:n]) == tag:
		return true, nil
	case err == nil && strings.HasPrefix(string(b[:n]), tagStart):
		return false, &VersionError{Root: d.root}
	default:
		return false, &ForeignError{Root: d.root, Path: path}
	}
}

func (d *Dir) mark() error {
	f, err := disk.Create(d.root)
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.WriteString(tag + tagMore); err != nil {
		return err
	}
	_, err = f.Commit(tagFile)
	return err
}

// Use must be called before a build uses the cache, and the release it returns
// after. In between, Trim and Verify, of this process too, remove nothing; Use
// in turn waits for them. It also removes scratch directories that other builds
// left and, after one that was killed, which left its mark, what such builds left
// else. The error is a *BusyError if ctx ends first.
func (d *Dir) Use(ctx context.Context) (release func(), err error) {
	unlock, err := d.lock(ctx, true)
	if err != nil {
		return nil, err
	}
	leave, err := disk.Enter(d.root, d.sweepAll)
	if err != nil {
		return unlock, nil //nolint:nilerr // a tidy cache is no condition for a build
	}
	for _, k := range scratchKinds { // few, and what a build could not remove is there too
		_, _ = d.sweep(ctx, k)
	}
	return func() {
		leave()
		unlock()
	}, nil
}

// sweepAll removes the files that killed processes left anywhere. It takes as long
// as the cache has files.
func (d *Dir) sweepAll() error {
	var failed []error
	for _, k := range Kinds() {
		for _, dir := range d.dirs(k) {
			_, err := disk.Sweep(dir)
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// Scratch returns the directory for what lives as long as a build, to be made
// there with disk.Scratch.
func (d *Dir) Scratch() string { return filepath.Join(d.Path(UV), "tmp") }

// scratchKinds are those for which disk.Scratch makes directories.
var scratchKinds = []Kind{UV, Trees}

// scratch returns the directory in which disk.Scratch makes some for a kind.
func (d *Dir) scratch(k Kind) string {
	if k == UV {
		return d.Scratch()
	}
	return d.Path(k)
}

// sweep removes what killed processes left in the scratch directory of a kind.
func (d *Dir) sweep(ctx context.Context, k Kind) (freed int64, err error) {
	return disk.SweepScratch(d.scratch(k), func(dir string) error { return d.remove(ctx, k, dir) })
}

// remove removes what is at path, a thing of a kind.
func (d *Dir) remove(ctx context.Context, k Kind, path string) error {
	if k == Trees && d.RemoveTree != nil {
		return d.RemoveTree(ctx, path)
	}
	return disk.RemoveAll(path)
}

func (d *Dir) lock(ctx context.Context, shared bool) (unlock func(), err error) {
	unlock, err = disk.Lock(ctx, filepath.Join(d.root, "lock"), shared)
	switch {
	case err == nil:
		return unlock, nil
	case ctx.Err() != nil:
		return nil, &BusyError{Root: d.root, Err: ctx.Err()}
	default:
		return nil, fmt.Errorf("locking the cache: %w", err)
	}
}

// dirs returns the directories in which files of a kind are written by package
// disk.
func (d *Dir) dirs(k Kind) []string {
	switch {
	case k == Layers:
		return []string{d.blobs(), d.keys().Dir}
	case k == UV: // a directory for each version
		var dirs []string
		entries, _ := os.ReadDir(d.Path(UV)) // none yet
		for _, e := range entries {
			if e.IsDir() {
				dirs = append(dirs, filepath.Join(d.Path(UV), e.Name()))
			}
		}
		return dirs
	case k.isWhole():
		return nil
	default:
		return []string{d.Path(k)}
	}
}

// A BusyError reports that the wait for other processes that use the cache was
// ended.
type BusyError struct {
	Root string // of the cache
	Err  error  // why the wait ended: the context's error
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("waiting for other runs of inlay that use the cache in %s: %v", e.Root, e.Err)
}

// Unwrap returns the context's error.
func (e *BusyError) Unwrap() error { return e.Err }

// Hint says what to do about the other processes.
func (e *BusyError) Hint() string {
	return "wait until the other runs end, then run the same command again, or use a cache of its own with --cache-dir DIR"
}

// A ForeignError reports a directory that can't be the cache, because somebody
// else keeps something there.
type ForeignError struct {
	Root string // that was to be the cache
	Path string // what is there
}

func (e *ForeignError) Error() string {
	rel := strings.TrimPrefix(e.Path, e.Root+string(filepath.Separator))
	return fmt.Sprintf("%s can't be the cache: its %s was not made by inlay", e.Root, rel)
}

// Hint says which directory would do.
func (e *ForeignError) Hint() string { return "name an empty directory with --cache-dir DIR" }

// A VersionError reports a cache that another version of this program made and
// keeps in a way that this one doesn't know.
type VersionError struct{ Root string }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the cache in %s is of another version of inlay, which keeps it in a way that this one doesn't know", e.Root)
}

// Hint says how to do without it.
func (e *VersionError) Hint() string {
	return "use a cache of its own with --cache-dir DIR, or the version of inlay that made this one"
}
