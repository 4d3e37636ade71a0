// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"inlay/resolve/sandbox/changes"
)

// Names in the scratch directory.
const (
	lentName = scratchName + "/lent" // what lies in the root that is no part of it, as JSON
	keptName = scratchName + "/kept" // what lay there before
)

// A loan is what lies in a root directory for as long as a command runs, where
// nothing can be mounted. What the command makes of it is no change of the root.
type loan struct {
	Path string // in the root, without links
	Kept string // what lay there
}

// lend puts what would be mounted at m.Target there.
func (p *first) lend(root *place, m *Mount) error {
	switch {
	case m.Source != "":
		from, err := filepath.EvalSymlinks(m.Source)
		if err != nil {
			return err
		}
		info, err := os.Stat(from)
		if err != nil {
			return err
		}
		return root.lend(m.Target, info.IsDir(), func(to string) error { return changes.Copy(from, to, 0) })
	case m.Tmpfs:
		return root.lend(m.Target, true, func(to string) error { return makeDir(to, cmp.Or(m.Mode, fs.ModeSticky|0o777)) })
	default:
		return root.lend(m.Target, false, func(to string) error {
			f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck // nothing depends on it
			_, err = f.Write(m.Content)
			return errors.Join(err, f.Chmod(cmp.Or(m.Mode, 0o444)))
		})
	}
}

func makeDir(p string, mode fs.FileMode) error {
	return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, mode))
}

// lendDevices makes a /dev.
func lendDevices(root *place) error {
	numbers := map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}
	return root.lend("dev", true, func(dir string) error {
		err := errors.Join(makeDir(dir, 0o755), makeDir(dir+"/shm", fs.ModeSticky|0o777))
		for name, minor := range numbers {
			err = errors.Join(err, unix.Mknod(dir+"/"+name, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))))
		}
		err = errors.Join(err, unix.Mknod(dir+"/tty", unix.S_IFCHR|0o666, int(unix.Mkdev(5, 0))))
		for _, name := range devices {
			err = errors.Join(err, os.Chmod(dir+"/"+name, 0o666)) //nolint:gosec // as everywhere
		}
		if err != nil {
			return err
		}
		f, err := os.OpenFile(dir+"/null", os.O_WRONLY, 0) // what is mounted nodev is of no use
		if err != nil {
			return err
		}
		return f.Close()
	})
}

// lend has fill make something at p, and keeps what was there.
func (d *place) lend(p string, dir bool, fill func(to string) error) error {
	where := d.file
	if dir {
		where = d.dir
	}
	fd, err := where(p)
	if err != nil {
		return err
	}
	at, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	_ = unix.Close(fd)
	if err != nil {
		return err
	}
	inside, ok := strings.CutPrefix(at, d.path+"/")
	if !ok {
		return fmt.Errorf("%s leads to the root directory", p)
	}
	loans, err := lent()
	if err != nil {
		return err
	}
	l := loan{Path: inside, Kept: path.Join(keptName, strconv.Itoa(len(loans)))}
	if err := note(append(loans, l)); err != nil {
		return err
	}
	if err := os.Mkdir(keptName, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return timeless(path.Dir(at), func() error {
		if err := os.Rename(at, l.Kept); err != nil {
			return err
		}
		return fill(at)
	})
}

// lent returns what was noted.
func lent() (loans []loan, err error) {
	b, err := os.ReadFile(lentName)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return loans, json.Unmarshal(b, &loans)
}

// note writes down what is lent, before it is.
func note(loans []loan) error {
	b, err := json.Marshal(loans)
	if err != nil {
		return err
	}
	return os.WriteFile(lentName, b, 0o600) //nolint:forbidigo // nobody else reads the scratch directory meanwhile
}

// takeBack puts back what lay where something was lent, the last first. Nothing
// runs in the root any more.
func takeBack(root *place) error {
	loans, err := lent()
	if err != nil || loans == nil {
		return err
	}
	for i := len(loans) - 1; i >= 0; i-- {
		if err := root.takeBack(loans[i]); err != nil {
			return fmt.Errorf("taking back what was lent at /%s: %w", loans[i].Path, err)
		}
		if err := note(loans[:i]); err != nil {
			return err
		}
	}
	return errors.Join(os.Remove(lentName), os.RemoveAll(keptName))
}

func (d *place) takeBack(l loan) error {
	if _, err := os.Lstat(l.Kept); errors.Is(err, os.ErrNotExist) {
		return nil // it was noted, and not done
	}
	parent, err := unix.Openat2(d.fd, path.Dir(l.Path), &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil { // the command removed it, or put something else there
		return os.RemoveAll(l.Kept)
	}
	defer unix.Close(parent) //nolint:errcheck // nothing depends on it
	dir := fmt.Sprintf("/proc/self/fd/%d", parent)
	return timeless(dir, func() error {
		at := path.Join(dir, path.Base(l.Path))
		return errors.Join(os.RemoveAll(at), os.Rename(l.Kept, at))
	})
}

// timeless changes what a directory holds, and leaves its time as it is.
func timeless(dir string, change func() error) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, dir, []unix.Timespec{st.Atim, st.Mtim}, 0)
}
