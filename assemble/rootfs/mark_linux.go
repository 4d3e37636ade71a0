// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"inlay/layers"
)

// whiteout makes name in dir the device that hides what is below. Linux lets
// everybody make this one since 5.8, but not where it would hide something from an
// overlay: there it is a file of a name that layers have for it, and marked is true.
func whiteout(dir *os.File, name string) (marked bool, err error) {
	err = unix.Mknodat(int(dir.Fd()), name, unix.S_IFCHR, 0)
	if err == nil {
		return false, nil
	}
	if !errors.Is(err, unix.EPERM) {
		return false, &os.PathError{Op: "mknod", Path: name, Err: err}
	}
	fd, err := unix.Openat(int(dir.Fd()), layers.WhiteoutPrefix+name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: layers.WhiteoutPrefix + name, Err: err}
	}
	return true, unix.Close(fd)
}

// setOpaque gives dir the attributes by which it hides what is below: the one
// that an overlay mounted in a user namespace reads, and, where this process may
// set it, the one that others read.
func setOpaque(dir *os.File) error {
	err := unix.Fsetxattr(int(dir.Fd()), "trusted.overlay.opaque", []byte("y"), 0)
	if err != nil && !errors.Is(err, unix.EPERM) {
		return &os.PathError{Op: "setxattr", Path: dir.Name(), Err: err}
	}
	if err := unix.Fsetxattr(int(dir.Fd()), "user.overlay.opaque", []byte("y"), 0); err != nil {
		return &os.PathError{Op: "setxattr", Path: dir.Name(), Err: err}
	}
	return nil
}

// setCapability gives a file capabilities, where this process may.
func setCapability(f *os.File, value string) error {
	err := unix.Fsetxattr(int(f.Fd()), "security.capability", []byte(value), 0)
	if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOTSUP) {
		return &os.PathError{Op: "setxattr", Path: f.Name(), Err: err}
	}
	return nil
}
