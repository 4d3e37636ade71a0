// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/moby/sys/capability"
	"golang.org/x/sys/unix"

	"inlay/layers"
	"inlay/resolve/sandbox/seccomp"
)

// fuseProgram shows an overlay to a kernel that hasn't one for us.
const fuseProgram = "fuse-overlayfs"

// fuseDevice is what such a program gets its work from.
const fuseDevice = "/dev/fuse"

// fuseAdvice says what RungFuse needs.
const fuseAdvice = "install " + fuseProgram + ", and let all users read and write " + fuseDevice

// fuseCaps are what the program needs: what a command may do to files, that of
// which it gives away what it was asked to, and one that no command has. Without
// that one the command could look into the program by /proc.
var fuseCaps = []capability.Cap{
	capability.CAP_CHOWN, capability.CAP_DAC_OVERRIDE, capability.CAP_FOWNER, capability.CAP_FSETID, capability.CAP_SETFCAP,
	capability.CAP_MKNOD,
}

// fuse shows the layers with the scratch directory over them by a process of the
// sandbox, which sees these, the programs of the host, and nothing else.
func (p *first) fuse() error {
	fd, err := unix.Open(fuseDevice, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: fuseDevice, Err: err}
	}
	device := os.NewFile(uintptr(fd), fuseDevice)
	defer device.Close() //nolint:errcheck // as long as one has it the kernel waits for an answer
	mount, err := freshMount("fuse", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV,
		[2]string{"source", "overlay"}, [2]string{"fd", strconv.Itoa(fd)}, [2]string{"rootmode", "40000"},
		[2]string{"user_id", strconv.Itoa(os.Getuid())}, [2]string{"group_id", strconv.Itoa(os.Getgid())},
		[2]string{"default_permissions", ""}, [2]string{"allow_other", ""})
	if err != nil {
		return err
	}
	said, err := p.serve(device)
	if err != nil {
		_ = unix.Close(mount)
		return fmt.Errorf("starting %s: %w", p.c.Fuse, err)
	}
	defer said.Close() //nolint:errcheck // only read
	to, err := unix.Open(rootName, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = unix.Close(mount)
		return err
	}
	if err := attach(mount, to); err != nil {
		return err
	}
	_ = device.Close() // else there would be no end to waiting for a process that has ended
	if err := served(rootName); err != nil {
		text, _ := io.ReadAll(io.NewSectionReader(said, 0, most/16)) // may be empty
		return fmt.Errorf("mounting the layers by %s: %w: %s", p.c.Fuse, err, strings.TrimSpace(string(text)))
	}
	return nil
}

// served asks the process that shows the root directory for something, and so
// finds out whether it is there.
func served(root string) error {
	var s unix.Statfs_t
	return unix.Statfs(root, &s)
}

// serve starts the process, and returns the file of what it says.
func (p *first) serve(device *os.File) (*os.File, error) {
	fd, err := unix.MemfdCreate("said", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	said := os.NewFile(uintptr(fd), "said")
	null, err := os.Open("/dev/null")
	if err != nil {
		return nil, errors.Join(err, said.Close())
	}
	defer null.Close() //nolint:errcheck // nothing depends on it
	args := []string{fuseName, p.c.Fuse, strings.Join(p.stack(), ":")}
	p.server, err = syscall.ForkExec("/proc/self/exe", args, &syscall.ProcAttr{
		Env: []string{}, Files: []uintptr{null.Fd(), said.Fd(), said.Fd(), device.Fd()},
		Sys: &syscall.SysProcAttr{Setsid: true, Unshareflags: syscall.CLONE_NEWNS},
	})
	if err != nil {
		return nil, errors.Join(err, said.Close())
	}
	return said, nil
}

// overlayServer becomes the program, in the directory where layers and scratch
// directory are. The device is descriptor 3.
func overlayServer(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%d arguments", len(args))
	}
	if err := shutIn(); err != nil {
		return err
	}
	err := onlyCaps(func(caps capability.Capabilities) {
		caps.Set(capability.CAPS|capability.BOUNDS|capability.AMBS, fuseCaps...)
	})
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := (seccomp.Filter{}).Install(); err != nil {
		return err
	}
	// What a command has written must be on the disk when the command has ended,
	// whatever ends then: nothing is kept back.
	options := "lowerdir=" + args[1] + ",upperdir=" + upperName + ",workdir=" + workName + ",writeback=0"
	return syscall.Exec(args[0], []string{fuseProgram, "-f", "-o", options, "/dev/fd/3"}, []string{})
}

// shutIn makes the current directory the root directory, with the host's programs
// and a /proc in it.
func shutIn() error {
	fd, err := unix.Open(".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	root := &place{fd: fd}
	proc, err := freshMount("proc", quiet)
	if err != nil { // as procfs has it
		proc, err = openTree("/proc")
	}
	if err == nil {
		err = root.put("proc", proc)
	}
	if err != nil {
		return err
	}
	for _, m := range HostTools() {
		if err := root.tool(m); err != nil {
			return err
		}
	}
	if err := errors.Join(unix.Fchdir(fd), unix.PivotRoot(".", "."), unix.Unmount(".", unix.MNT_DETACH), unix.Chdir("/")); err != nil {
		return fmt.Errorf("changing the root directory: %w", err)
	}
	return unix.Close(fd)
}

// tool shows a file or directory of the host, read-only.
func (d *place) tool(m Mount) error {
	info, err := os.Stat(m.Source)
	if err != nil {
		return err
	}
	tree, err := openTree(m.Source)
	if err != nil {
		return err
	}
	if err := restrict(tree, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_RDONLY); err != nil {
		_ = unix.Close(tree)
		return err
	}
	if info.IsDir() {
		return d.put(m.Target, tree)
	}
	return d.over(m.Target, tree)
}

// finished waits until all that was written lies in the scratch directory, and
// reports whether it could: root of the sandbox can end the process that puts it
// there.
func (p *first) finished() error {
	if p.server == 0 {
		return nil
	}
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Syncfs(fd)
		_ = unix.Close(fd)
	}
	if err == nil {
		err = served("/")
	}
	if err != nil {
		return p.out.send(message{Kind: sayLost, Text: fmt.Sprintf("%s ended before the command did, which has seen no files since: %v", fuseProgram, err)})
	}
	return nil
}

// What a trial of RungFuse has below, and what its changes are. The removals in
// trialLost are those that programs up to version 1.14 forget: what is below is
// there again, for the command too.
var (
	trialLower   = []string{"gone", "place", "swapped", "turned/in"}
	trialChanges = []string{"- gone", "+ made", "- place", "+ placed", "- swapped", "+ turned", "- turned/in"}
	trialLost    = []string{"- place", "- swapped"}
)

// trial changes a root directory in the ways that take marks of an overlay.
func trial(root string) error {
	in := func(name string) string { return path.Join(root, name) }
	return errors.Join(
		os.Remove(in("gone")),
		os.WriteFile(in("made"), nil, 0o644), //nolint:forbidigo // nobody else has the directory
		os.RemoveAll(in("turned")), os.Mkdir(in("turned"), 0o755),
		os.WriteFile(in("new"), nil, 0o644), os.Rename(in("new"), in("swapped")), os.Remove(in("swapped")), //nolint:forbidigo // as above
		os.Remove(in("place")), os.Mkdir(in("place"), 0o755), os.Rename(in("place"), in("placed")),
	)
}

// tryChanges reads the changes of a trial, and reports whether the program has
// forgotten some.
func (r *Rung) tryChanges(ctx context.Context, root Root) (forgets bool, err error) {
	var got trialWriter
	if err := r.diff(ctx, root, 0, &got); err != nil {
		return false, err
	}
	rest := slices.DeleteFunc(slices.Clone(trialChanges), func(c string) bool {
		return slices.Contains(trialLost, c) && !slices.Contains(got, c)
	})
	if !slices.Equal(got, rest) {
		return false, fmt.Errorf("the changes of a trial were %q, not %q", got, trialChanges)
	}
	return len(rest) < len(trialChanges), nil
}

// A trialWriter lists changes.
type trialWriter []string

func (t *trialWriter) Add(e layers.Entry, body io.Reader) error {
	line := "+ " + e.Path
	if body != nil && e.Size > 0 {
		b, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		line += " " + string(b)
	}
	*t = append(*t, line)
	return nil
}

func (t *trialWriter) Link(e layers.Entry, _ string) error {
	*t = append(*t, "= "+e.Path)
	return nil
}

func (t *trialWriter) Remove(p string) error {
	*t = append(*t, "- "+p)
	return nil
}
