// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"inlay/layers"
)

// quiet are the attributes of mounts that hold no programs.
const quiet = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC

// Parts of /proc that belong to the machine and not to the sandbox: the first
// are made read-only, for the files belong to root, the others hidden.
var (
	fixed  = []string{"sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi", "driver", "tty", "mtrr", "dynamic_debug"}
	hidden = []string{"kcore", "kmsg", "keys", "key-users", "timer_list", "latency_stats", "sched_debug", "kallsyms", "kpagecount", "kpageflags", "kpagecgroup"}
)

// devices are those that programs expect, and that give nothing of the machine.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// system mounts /proc and /dev.
func (p *first) system(root *place) error {
	if err := p.procfs(root); err != nil {
		return err
	}
	if err := p.dev(root); err != nil {
		return fmt.Errorf("making /dev: %w", err)
	}
	return nil
}

func (p *first) procfs(root *place) error {
	fd, err := freshMount("proc", quiet)
	if err != nil {
		// In a container whose own /proc is masked the kernel shows none unmasked.
		// That one shows processes of the container, which the caller must hear.
		p.odd = "the kernel shows no /proc of the sandbox's own here: programs there see what the one outside lists"
		if fd, err = openTree("/proc"); err != nil {
			return err
		}
	}
	p.proc = p.odd == ""
	if err := root.put("proc", fd); err != nil {
		return err
	}
	for _, name := range fixed {
		if err := root.cover("proc/"+name, "proc/"+name, unix.MOUNT_ATTR_RDONLY); err != nil {
			return err
		}
	}
	for _, name := range hidden {
		if err := root.cover("proc/"+name, "/dev/null", 0); err != nil {
			return err
		}
	}
	return nil
}

// put hangs a mount at a directory of the place.
func (d *place) put(p string, mount int) error {
	to, err := d.dir(p)
	if err != nil {
		_ = unix.Close(mount)
		return err
	}
	return attach(mount, to)
}

// cover mounts something over what is at p, if there is anything: a file of the
// host, or with a relative name what the place itself has.
func (d *place) cover(p, with string, attributes uint64) error {
	to, err := d.at(p, unix.O_PATH)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	from, err := unix.OpenTree(d.fd, with, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err == nil && attributes != 0 {
		err = restrict(from, attributes)
	}
	if err != nil {
		_ = unix.Close(to)
		return fmt.Errorf("covering /%s: %w", p, err)
	}
	return attach(from, to)
}

func (p *first) dev(root *place) error {
	fd, err := freshMount("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, [2]string{"mode", "755"}, [2]string{"size", "64k"})
	if err != nil {
		return err
	}
	if err := root.put("dev", fd); err != nil {
		return err
	}
	// What is made in it now is in memory.
	dev := &place{path: root.path + "/dev"}
	if dev.fd, err = root.dir("dev"); err != nil {
		return err
	}
	defer unix.Close(dev.fd) //nolint:errcheck // nothing depends on it
	for _, name := range devices {
		to, err := dev.file(name)
		if err != nil {
			return err
		}
		from, err := openTree("/dev/" + name)
		if err != nil {
			_ = unix.Close(to)
			return err
		}
		if err := attach(from, to); err != nil {
			return err
		}
	}
	links := map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"}
	for name, target := range links {
		if err := unix.Symlinkat(target, dev.fd, name); err != nil {
			return err
		}
	}
	return dev.filesystems()
}

// filesystems mounts what lies in /dev.
func (d *place) filesystems() error {
	shm, err := freshMount("tmpfs", quiet, [2]string{"mode", "1777"}, [2]string{"size", "64m"})
	if err != nil {
		return err
	}
	if err := d.put("shm", shm); err != nil {
		return err
	}
	pts, err := freshMount("devpts", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, [2]string{"newinstance", ""}, [2]string{"ptmxmode", "0666"}, [2]string{"mode", "0620"})
	if err != nil {
		return err
	}
	return d.put("pts", pts)
}

// mounts makes the mounts that the caller asked for, and the directory to run in.
func (p *first) mounts(root *place) error {
	for i := range p.c.Mounts {
		m := &p.c.Mounts[i]
		if err := p.mount(root, m); err != nil {
			return fmt.Errorf("mounting %s in the sandbox: %w", m.Target, err)
		}
	}
	if p.c.Dir == "" {
		return nil
	}
	fd, err := root.dir(p.c.Dir)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

func (p *first) mount(root *place, m *Mount) error {
	switch {
	case p.c.Chroot:
		return p.lend(root, m)
	case m.Source != "":
		return p.source(root, m)
	case m.Tmpfs:
		options := [][2]string{{"mode", octal(cmp.Or(m.Mode, fs.ModeSticky|0o777))}}
		if m.Size > 0 {
			options = append(options, [2]string{"size", strconv.FormatInt(m.Size, 10)})
		}
		fd, err := freshMount("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, options...)
		if err != nil {
			return err
		}
		return root.put(m.Target, fd)
	default:
		return p.content(root, m)
	}
}

func octal(m fs.FileMode) string { return strconv.FormatUint(uint64(layers.UnixMode(m)), 8) }

// source shows a file or a directory of the host.
func (p *first) source(root *place, m *Mount) error {
	fd := p.take()
	attributes := uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
	if !m.Writable {
		attributes |= unix.MOUNT_ATTR_RDONLY
	}
	var info unix.Stat_t
	err := errors.Join(restrict(fd, attributes), unix.Fstat(fd, &info))
	if err != nil {
		_ = unix.Close(fd)
		return err
	}
	if info.Mode&unix.S_IFMT == unix.S_IFDIR {
		return root.put(m.Target, fd)
	}
	return root.over(m.Target, fd)
}

// over hangs a mount of a file.
func (d *place) over(p string, mount int) error {
	to, err := d.file(p)
	if err != nil {
		_ = unix.Close(mount)
		return err
	}
	return attach(mount, to)
}

// content shows a file that is only in memory. It lies in the directory that is
// left behind when the root is entered.
func (p *first) content(root *place, m *Mount) error {
	f, err := os.CreateTemp(".", "content") // the directory that stage made
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing depends on it
	if _, err := f.Write(m.Content); err != nil {
		return err
	}
	mode := cmp.Or(m.Mode, 0o444)
	if err := f.Chmod(mode); err != nil {
		return err
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, f.Name(), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return err
	}
	if err := restrict(fd, unix.MOUNT_ATTR_RDONLY|quiet); err != nil {
		_ = unix.Close(fd)
		return err
	}
	return root.over(m.Target, fd)
}
