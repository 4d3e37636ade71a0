// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// The names under which this program is started again. No user types them: they
// have a blank.
const (
	initName = "inlay sandbox: init"
	execName = "inlay sandbox: command"
	fuseName = "inlay sandbox: overlay"
)

// Descriptors of a child, after its standard streams.
const (
	socketFD = 3
	selfFD   = 4
)

// A config is what the first process of a sandbox is told, in a file in memory:
// neither argv nor environment, which others can read, and which could be too
// small.
type config struct {
	Task     string // one of Init's, or of builtin; "": run Command
	TaskArgs []string

	Path     string
	Args     []string
	Dir      string
	Env      []string
	Terminal bool
	User     User
	Hostname string
	Network  Network
	Limits   Limits
	Ports    []string

	Lower   []string
	Scratch string
	Mounts  []Mount
	Trees   bool   // all of these are mounts that this process has opened already
	Copy    bool   // in place of an overlay
	Fuse    string // the program that is the overlay
	OneID   bool
	Chroot  bool   // in place of namespaces
	Jail    string // the directory to do that in, once it is there
}

// self returns this program for the first process of a sandbox: what runs there
// must find no way to change its file through /proc. That is sure of a file that
// only users can write to whom the sandbox doesn't have; of others it is a copy
// in memory.
func (d *ids) self() (*os.File, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	if fi, err := f.Stat(); err == nil && d.lacks(fi) {
		return f, nil
	}
	defer f.Close() //nolint:errcheck // nothing depends on it
	c, err := memoryCopy()
	if err != nil {
		return nil, fmt.Errorf("copying this program into memory: %w", err)
	}
	return dup(c)
}

// lacks reports whether nobody whom the sandbox has, its root included, can write
// to a file of the host. Access lists show in the bits of the group.
func (d *ids) lacks(fi os.FileInfo) bool {
	s, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || fi.Mode()&0o022 != 0 {
		return false
	}
	return !has(d.uids, int(s.Uid)) && !has(d.gids, int(s.Gid))
}

func has(m []syscall.SysProcIDMap, id int) bool {
	return slices.ContainsFunc(m, func(r syscall.SysProcIDMap) bool { return r.HostID <= id && id < r.HostID+r.Size })
}

func dup(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// memoryCopy is a copy of this program that nobody can change.
var memoryCopy = sync.OnceValues(func() (*os.File, error) {
	fd, err := unix.MemfdCreate("inlay", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate("inlay", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "inlay")
	src, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer src.Close() //nolint:errcheck // nothing depends on it
	if _, err := io.Copy(f, src); err != nil {
		return nil, err
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	return f, err
})

// A child is the first process of a sandbox: when it ends, all others do.
type child struct {
	cmd  *exec.Cmd
	link *link
}

// start starts the first process of a sandbox, and tells it what to do.
// The calling thread must be locked and stay until the child has ended: the
// kernel ends the child with it.
func (r *Rung) start(ctx context.Context, c *config, streams *exec.Cmd) (*child, error) {
	me, err := r.ids.self()
	if err != nil {
		return nil, err
	}
	defer me.Close() //nolint:errcheck // nothing depends on it
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	theirs := os.NewFile(uintptr(pair[1]), "socket")
	defer theirs.Close() //nolint:errcheck // nothing depends on it
	cmd := exec.CommandContext(ctx, fmt.Sprintf("/proc/self/fd/%d", selfFD))
	cmd.Args = []string{initName}
	cmd.Env = []string{} // nil would mean this program's own
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = streams.Stdout, streams.Stderr
	if err := feed(cmd, streams.Stdin); err != nil {
		_ = unix.Close(pair[0])
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{theirs, me}
	r.separate(cmd, c, pair[0])
	k := &child{cmd: cmd, link: &link{socket: socket{fd: pair[0]}, dials: map[int]chan dialed{}}}
	if err := cmd.Start(); err != nil {
		_ = unix.Close(pair[0])
		return nil, startProblem(ctx, err)
	}
	if err := k.tell(r, c); err != nil {
		k.kill()
		return nil, err
	}
	return k, nil
}

// separate says what a child has of its own.
func (r *Rung) separate(cmd *exec.Cmd, c *config, socket int) {
	if r.chroot {
		outlive(cmd, socket)
		return
	}
	cmd.SysProcAttr = r.ids.attributes(c.User)
	cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
	if c.Network == NoNetwork {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
	}
}

// feed gives cmd its input. A reader that hangs must not keep a command that has
// ended from being done, as it would with Cmd.Stdin.
func feed(cmd *exec.Cmd, in io.Reader) error {
	if file, ok := in.(*os.File); ok || in == nil {
		if ok {
			cmd.Stdin = file
		}
		return nil
	}
	w, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	go func() {
		defer w.Close()       //nolint:errcheck // nothing depends on it
		_, _ = io.Copy(w, in) // a command need not read it all
	}()
	return nil
}

// startProblem says what the kernel's answer to the first step means.
func startProblem(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("making namespaces: %w", err)
}

// kill ends the child and waits until nothing is left of the sandbox.
func (k *child) kill() {
	_ = k.cmd.Process.Kill()
	_ = k.cmd.Wait()
	k.link.close()
}

// tell gives the child its ids, its mounts and its configuration.
func (k *child) tell(r *Rung, c *config) error {
	if err := r.ids.give(k.cmd.Process.Pid); err != nil {
		return err
	}
	c.OneID, c.Chroot = r.ids.one, r.chroot
	if r.ids.shifted {
		if err := k.give(c); err != nil {
			return err
		}
	}
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("config", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "config")
	defer f.Close() //nolint:errcheck // nothing depends on it
	if _, err := f.Write(b); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return k.link.send(message{Kind: sayGo}, fd)
}

// give opens the mounts for the child and sends them.
func (k *child) give(c *config) error {
	trees, err := openAll(c, k.cmd.Process.Pid)
	defer closeAll(trees)
	if err != nil {
		return err
	}
	c.Trees = true
	for some := range slices.Chunk(trees, mostFDs) {
		if err := k.link.send(message{Kind: sayTrees}, some...); err != nil {
			return err
		}
	}
	return nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// locked calls f in a goroutine whose thread lives until f returns.
func locked(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}
