// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/moby/sys/capability"
	"golang.org/x/sys/unix"

	"inlay/resolve/sandbox/seccomp"
)

// commandCaps are what root of the sandbox can do at most, all of it to files and
// processes of the sandbox alone: what scripts of packages need, which is what
// container engines give less the right to make devices and raw packets.
var commandCaps = []capability.Cap{
	capability.CAP_CHOWN, capability.CAP_DAC_OVERRIDE, capability.CAP_FOWNER, capability.CAP_FSETID, capability.CAP_KILL,
	capability.CAP_SETGID, capability.CAP_SETUID, capability.CAP_SETPCAP, capability.CAP_NET_BIND_SERVICE,
	capability.CAP_SYS_CHROOT, capability.CAP_SETFCAP,
}

// Descriptors of the process that becomes the command.
const (
	goFD     = 3 // it reads there what to become
	failedFD = 4 // it writes there that it is there, and why it could not; closed by becoming it
)

// A forked is the process that becomes the command. It is started before the
// root directory is changed, and so needs nothing there.
type forked struct {
	tell   *os.File
	failed *os.File
}

func (p *first) fork() (*forked, error) {
	theirGo, tell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirGo.Close() //nolint:errcheck // nothing depends on it
	failed, theirFailed, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirFailed.Close() //nolint:errcheck // nothing depends on it
	p.pid, err = syscall.ForkExec("/proc/self/exe", []string{execName}, &syscall.ProcAttr{
		Env: []string{}, Files: []uintptr{0, 1, 2, theirGo.Fd(), theirFailed.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	return &forked{tell, failed}, err
}

// wait waits until the process needs nothing of the host's files any more, not
// even libraries.
func (x *forked) wait() error {
	if _, err := x.failed.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("starting a process in the sandbox: %w", err)
	}
	return nil
}

// launch lets the process become the command, and returns why that failed.
func (x *forked) launch(c *config) (syscall.Errno, error) {
	c.Mounts, c.Lower = nil, nil // nothing of that is the command's
	err := json.NewEncoder(x.tell).Encode(c)
	_ = x.tell.Close()
	if err != nil {
		return 0, err
	}
	var f failure
	switch err := json.NewDecoder(x.failed).Decode(&f); {
	case errors.Is(err, io.EOF):
		return 0, nil
	case err != nil:
		return 0, err
	case f.Errno != 0:
		return f.Errno, nil
	default:
		return 0, errors.New(f.Text)
	}
}

// A failure is why a command couldn't be started: the errno of its program, or
// what else went wrong.
type failure struct {
	Errno syscall.Errno
	Text  string
}

// execute becomes the command.
func execute() {
	unix.CloseOnExec(goFD)
	unix.CloseOnExec(failedFD)
	in, out := os.NewFile(goFD, "go"), os.NewFile(failedFD, "failed")
	_, _ = out.Write([]byte{'\n'})
	f := failure{}
	err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	var c config
	if err == nil {
		err = json.NewDecoder(in).Decode(&c)
	}
	if err == nil {
		err = confine(&c)
	}
	if err == nil {
		f.Errno = become(&c)
	} else {
		f.Text = err.Error()
	}
	_ = json.NewEncoder(out).Encode(f) // nobody else could be told
	syscall.Exit(1)
}

// confine takes from this process all that the command is not to have.
func confine(c *config) error {
	if c.Terminal {
		if err := control(); err != nil {
			return fmt.Errorf("taking the terminal: %w", err)
		}
	}
	if err := limit(c.Limits); err != nil {
		return err
	}
	// When the machine runs out of memory this goes first. A kernel that doesn't
	// allow it takes what it takes.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0) //nolint:forbidigo // no file
	if err := dropCaps(c); err != nil {
		return err
	}
	if err := changeUser(c); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up privileges of programs: %w", err)
	}
	if c.Dir != "" {
		if err := unix.Chdir(c.Dir); err != nil {
			return fmt.Errorf("entering %s: %w", c.Dir, err)
		}
	}
	unix.Umask(0o022)
	return seccomp.Filter{OneID: c.OneID, Shared: c.Chroot, Network: c.Network == HostNetwork}.Install()
}

// control makes the sandbox's terminal the one of this session, and its streams.
func control() error {
	fd, err := unix.Open("/dev/pts/0", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.IoctlSetInt(fd, unix.TIOCSCTTY, 0); err != nil {
		return err
	}
	for stream := range 3 {
		if err := unix.Dup3(fd, stream, 0); err != nil {
			return err
		}
	}
	return nil
}

func limit(l Limits) error {
	for what, n := range map[int]int64{
		unix.RLIMIT_NPROC: int64(l.Processes), unix.RLIMIT_NOFILE: int64(l.OpenFiles), unix.RLIMIT_FSIZE: l.FileSize,
	} {
		if n == 0 {
			continue
		}
		var now unix.Rlimit
		if err := unix.Getrlimit(what, &now); err != nil {
			return err
		}
		n := min(uint64(n), now.Max)
		if err := unix.Setrlimit(what, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return fmt.Errorf("setting limits: %w", err)
		}
	}
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}

func changeUser(c *config) error {
	if c.OneID {
		return nil // it was named as it should be when it was started
	}
	if err := unix.Setgroups(c.User.Groups); err != nil {
		return fmt.Errorf("joining groups: %w", err)
	}
	if err := errors.Join(unix.Setresgid(c.User.GID, c.User.GID, c.User.GID), unix.Setresuid(c.User.UID, c.User.UID, c.User.UID)); err != nil {
		return fmt.Errorf("becoming user %d:%d: %w", c.User.UID, c.User.GID, err)
	}
	return nil
}

// dropCaps leaves this process and what it becomes at most commandCaps. What else
// takes rights is done with the last of them.
func dropCaps(c *config) error {
	err := onlyCaps(func(caps capability.Capabilities) {
		caps.Set(capability.BOUNDING, commandCaps...)
		if c.Chroot { // it would lead out; until the command is executed it leads in
			caps.Unset(capability.BOUNDING, capability.CAP_SYS_CHROOT)
		}
		if !c.OneID || c.User.UID == 0 { // else it is no root, and only changeUser would have taken them
			caps.Set(capability.PERMITTED|capability.EFFECTIVE, commandCaps...)
		}
	})
	if err != nil {
		return err
	}
	if c.Chroot {
		return enterJail(c)
	}
	return nil
}

// onlyCaps takes from this process all capabilities but those that give sets.
func onlyCaps(give func(capability.Capabilities)) error {
	caps, err := capability.NewPid2(0)
	if err != nil {
		return err
	}
	const all = capability.CAPS | capability.BOUNDS | capability.AMBS
	caps.Clear(all)
	give(caps)
	if err := caps.Apply(all); err != nil {
		return fmt.Errorf("giving up capabilities: %w", err)
	}
	return nil
}

// become executes the command. It returns only if that failed.
func become(c *config) syscall.Errno {
	if c.Path == "" {
		syscall.Exit(0) // a probe: all but the command has worked
	}
	if c.Chroot { // should the process that ends the others be killed; changing users would have taken it back
		_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
	}
	argv := append([]string{c.Path}, c.Args...)
	worst := syscall.ENOENT
	for _, p := range candidates(c) {
		errno := syscall.ENOENT
		_ = errors.As(syscall.Exec(p, argv, c.Env), &errno)
		if errno != syscall.ENOENT && errno != syscall.ENOTDIR {
			worst = errno
		}
		if errno == syscall.ENOEXEC || errno == syscall.E2BIG {
			return errno
		}
	}
	return worst
}

// candidates are the files that the command's name may mean, as execvp has it.
func candidates(c *config) []string {
	if strings.Contains(c.Path, "/") {
		return []string{c.Path}
	}
	var list []string
	for _, e := range c.Env {
		if dirs, ok := strings.CutPrefix(e, "PATH="); ok {
			list = nil // the last one counts
			for _, dir := range filepath.SplitList(dirs) {
				list = append(list, filepath.Join(dir, c.Path))
			}
		}
	}
	return list
}
