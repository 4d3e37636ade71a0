// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"inlay/resolve/sandbox/changes"
)

// openAll opens, as mounts of their own that hang nowhere yet, what c names of
// the host: the layers, the scratch directory and the sources of mounts. Root of
// the host does this for a child that can't go where root can, and shows the
// child root's files as its own.
func openAll(c *config, pid int) ([]int, error) {
	users, err := unix.Open(fmt.Sprintf("/proc/%d/ns/user", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(users) //nolint:errcheck // nothing depends on it
	return open(c, func(m *Mount) (int, error) {
		fd, err := openTree(m.Source)
		if err != nil || m.everybodys {
			return fd, err
		}
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users)}
		err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr)
		if err == nil {
			return fd, nil
		}
		_ = unix.Close(fd)
		if m.Writable {
			return -1, &idmapError{m.Source, err}
		}
		return copied(c, m)
	})
}

// copied opens a copy of a source that is as the sandbox's own, where the file
// system can't show the source so.
func copied(c *config, m *Mount) (int, error) {
	if c.Scratch == "" {
		return openTree(m.Source) // as far as everybody may read it
	}
	dir := filepath.Join(c.Scratch, copiesName)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return -1, err
	}
	to, err := os.MkdirTemp(dir, "source")
	if err != nil {
		return -1, err
	}
	to = filepath.Join(to, "copy")
	if err := changes.Copy(m.Source, to, nobodys); err != nil {
		return -1, fmt.Errorf("copying %s for the sandbox: %w", m.Source, err)
	}
	return openTree(to)
}

// An idmapError reports a file system that can't show files as another's.
type idmapError struct {
	source string
	err    error
}

func (e *idmapError) Error() string {
	return fmt.Sprintf("mounting %s so that it can be written: its file system can't show it as the sandbox's own: %v", e.source, e.err)
}

func (e *idmapError) Unwrap() error { return e.err }

// Hint says what else can be done.
func (e *idmapError) Hint() string {
	return "use a directory on another file system (ext4, xfs, btrfs), or mount it read-only"
}

// open opens the mounts of c in the order in which a sandbox takes them.
func open(c *config, source func(*Mount) (int, error)) ([]int, error) {
	var fds []int
	for _, p := range c.Lower {
		fd, err := openTree(p)
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
	}
	if c.Scratch != "" {
		fd, err := openTree(c.Scratch)
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
	}
	for i := range c.Mounts {
		if c.Mounts[i].Source == "" {
			continue
		}
		fd, err := source(&c.Mounts[i])
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// openTree opens what is mounted at p as a mount of its own. Where mounts are
// shared, as systemd has them, what would be mounted in it would be on the host
// too. Errors name p: they are the host's to see.
func openTree(p string) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, p, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return -1, fmt.Errorf("opening %s for the sandbox: %w", p, err)
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Propagation: unix.MS_PRIVATE}); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("parting %s from the host's mounts: %w", p, err)
	}
	return fd, nil
}

// freshMount makes a mount of a file system of the kernel's that hangs nowhere
// yet.
func freshMount(kind string, attributes int, options ...[2]string) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("making a %s: %w", kind, err)
	}
	defer unix.Close(fs) //nolint:errcheck // nothing depends on it
	for _, o := range options {
		if o[1] == "" {
			err = unix.FsconfigSetFlag(fs, o[0])
		} else {
			err = unix.FsconfigSetString(fs, o[0], o[1])
		}
		if err != nil {
			return -1, fmt.Errorf("making a %s with %s=%s: %w", kind, o[0], o[1], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("making a %s: %w", kind, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attributes)
	if err != nil {
		return -1, fmt.Errorf("making a %s: %w", kind, err)
	}
	return fd, nil
}

// attach hangs a mount at the place that to is, and closes both.
func attach(mount, to int) error {
	defer unix.Close(mount) //nolint:errcheck // nothing depends on it
	defer unix.Close(to)    //nolint:errcheck // nothing depends on it
	err := unix.MoveMount(mount, "", to, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("mounting: %w", err)
	}
	return nil
}

// restrict adds attributes to a mount and all below it.
func restrict(mount int, attributes uint64) error {
	return unix.MountSetattr(mount, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attributes})
}

// A place is a directory that paths can't lead out of.
type place struct {
	fd   int
	path string   // where it is
	made []string // what was made in it, parents first
}

// at opens what is at p in the place, wherever links lead there.
func (d *place) at(p string, flags uint64) (int, error) {
	return unix.Openat2(d.fd, p, &unix.OpenHow{
		Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// dir opens the directory p, and makes it if it isn't there.
func (d *place) dir(p string) (int, error) {
	p = path.Clean("/" + p)
	fd, err := d.at(p, unix.O_PATH|unix.O_DIRECTORY)
	if !errors.Is(err, unix.ENOENT) || p == "/" {
		return fd, naming(p, err)
	}
	parent, err := d.dir(path.Dir(p))
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent) //nolint:errcheck // nothing depends on it
	if err := unix.Mkdirat(parent, path.Base(p), 0o755); err != nil {
		return -1, naming(p, err)
	}
	fd, err = d.at(p, unix.O_PATH|unix.O_DIRECTORY)
	d.note(fd)
	return fd, naming(p, err)
}

// file opens the file p, and makes it if it isn't there.
func (d *place) file(p string) (int, error) {
	p = path.Clean("/" + p)
	fd, err := d.at(p, unix.O_PATH)
	if !errors.Is(err, unix.ENOENT) {
		return fd, naming(p, err)
	}
	parent, err := d.dir(path.Dir(p))
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent) //nolint:errcheck // nothing depends on it
	fd, err = unix.Openat(parent, path.Base(p), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return -1, naming(p, err)
	}
	_ = unix.Close(fd)
	fd, err = d.at(p, unix.O_PATH)
	d.note(fd)
	return fd, naming(p, err)
}

// note remembers what was made, by where links led to.
func (d *place) note(fd int) {
	if p, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil {
		d.made = append(d.made, strings.TrimPrefix(p, d.path+"/"))
	}
}

// naming adds to an error where in the sandbox it is about.
func naming(p string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: "making a place for", Path: p + " in the sandbox", Err: err}
}
