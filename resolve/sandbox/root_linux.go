// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"inlay/resolve/sandbox/changes"
)

// Names in the directory where a root is put together, of which an overlay
// shows the inside no more than these.
const (
	scratchName = "s"
	upperName   = scratchName + "/upper"
	workName    = scratchName + "/work"
	madeName    = scratchName + "/made"   // what was made for mounts, as JSON
	copiedName  = scratchName + "/copied" // tells that the copy is whole
	copiesName  = "copies"                // of sources of mounts, in the scratch directory
	rootName    = "root"
)

func lowerName(i int) string { return "l" + strconv.Itoa(i) }

// stages are directories that some machine may lack, but hardly all.
var stages = []string{"/tmp", "/run", "/var/tmp", "/mnt", "/dev"}

// stage mounts the layers and the scratch directory under short names in a
// file system in memory, which only this sandbox sees, enters it and returns
// where it is.
func (p *first) stage() (string, error) {
	err := error(unix.ENOENT)
	var dir string
	for _, dir = range stages {
		if err = unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=700"); err == nil {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("mounting: %w", err)
	}
	if err := unix.Chdir(dir); err != nil {
		return "", err
	}
	for i := range p.c.Lower {
		if err := p.hang(lowerName(i)); err != nil {
			return "", err
		}
	}
	if p.c.Scratch != "" {
		if err := p.hang(scratchName); err != nil {
			return "", err
		}
	}
	return dir, os.Mkdir(rootName, 0o755)
}

// take returns the next of the trees.
func (p *first) take() int {
	fd := p.trees[0]
	p.trees = p.trees[1:]
	return fd
}

// hang mounts the next tree at a new directory.
func (p *first) hang(name string) error {
	if err := os.Mkdir(name, 0o755); err != nil {
		return err
	}
	to, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return attach(p.take(), to)
}

// root makes the root directory and enters it for good: after it there is no
// way back to the host's files.
func (p *first) root(x *forked) error {
	if p.c.Chroot {
		return p.jail(x)
	}
	stage, err := p.stage()
	if err != nil {
		return err
	}
	if err := p.lay(); err != nil {
		return err
	}
	fd, err := unix.Open(rootName, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing depends on it
	root := &place{fd: fd, path: stage + "/" + rootName}
	if err := errors.Join(p.system(root), p.mounts(root)); err != nil {
		return err
	}
	if err := p.remember(root.made); err != nil {
		return err
	}
	if p.c.Scratch == "" {
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return fmt.Errorf("making the root directory read-only: %w", err)
		}
	}
	if err := x.wait(); err != nil {
		return err
	}
	if err := unix.Fchdir(fd); err != nil {
		return err
	}
	// With both the same no directory is needed to put the old root in.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("changing the root directory: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the host's root directory: %w", err)
	}
	return unix.Chdir("/")
}

// lay mounts what Root says at the name root.
func (p *first) lay() error {
	if p.c.Scratch == "" { // for places of mounts; nothing else is written to it
		if err := os.Mkdir(scratchName, 0o700); err != nil {
			return err
		}
	}
	if err := p.prepare(); err != nil {
		return err
	}
	fd, err := unix.Open(upperName, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	p.upper = fd
	if p.c.Copy || len(p.c.Lower) == 0 {
		return p.bind(upperName)
	}
	if p.c.Fuse == "" {
		return p.overlay()
	}
	if err := p.fuse(); err != nil || p.c.Path != "" {
		return err
	}
	return trial(rootName)
}

// prepare makes the directories of a scratch directory that was not used yet.
func (p *first) prepare() error {
	mode := os.FileMode(0o755)
	if len(p.c.Lower) > 0 {
		info, err := os.Stat(p.stack()[0])
		if err != nil {
			return err
		}
		mode = info.Mode().Perm()
	}
	if err := os.Mkdir(upperName, mode); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := os.Mkdir(workName, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if !p.c.Copy || len(p.c.Lower) == 0 {
		return nil
	}
	if _, err := os.Lstat(copiedName); err == nil {
		return nil
	}
	if err := p.stack().Copy(upperName); err != nil {
		return fmt.Errorf("copying the layers: %w", err)
	}
	return os.Mkdir(copiedName, 0o700)
}

// stack are the layers.
func (p *first) stack() changes.Stack {
	if p.c.Chroot {
		return p.c.Lower
	}
	var s changes.Stack
	for i := range p.c.Lower {
		s = append(s, lowerName(i))
	}
	return s
}

// bind shows a directory as the root.
func (p *first) bind(name string) error {
	fd, err := openTree(name)
	if err != nil {
		return err
	}
	to, err := unix.Open(rootName, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = unix.Close(fd)
		return err
	}
	if err := restrict(fd, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV); err != nil {
		return fmt.Errorf("mounting the root directory: %w", err)
	}
	return attach(fd, to)
}

// overlay shows the layers with the scratch directory over them. Its names are
// relative and short: its options may have one page, and /proc/mounts shows them.
func (p *first) overlay() error {
	options := "userxattr,lowerdir=" + strings.Join(p.stack(), ":") + ",upperdir=" + upperName + ",workdir=" + workName
	if err := unix.Mount("overlay", rootName, "overlay", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("%w: %w", errOverlay, err)
	}
	return nil
}

// remember notes what was made for mounts beside what was noted before: it is
// no change that a command made.
func (p *first) remember(made []string) error {
	if len(made) == 0 {
		return nil
	}
	before, err := readMade()
	if err != nil {
		return err
	}
	b, err := json.Marshal(append(before, made...))
	if err != nil {
		return err
	}
	return os.WriteFile(madeName, b, 0o600) //nolint:forbidigo // nobody else reads the scratch directory meanwhile
}

func readMade() ([]string, error) {
	var made []string
	b, err := os.ReadFile(madeName)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return made, json.Unmarshal(b, &made)
}
