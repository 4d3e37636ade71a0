// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setupCaps are what the first process of a sandbox needs; the command gets
// commandCaps.
var setupCaps = []uintptr{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL, unix.CAP_SETGID,
	unix.CAP_SETUID, unix.CAP_SETPCAP, unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_ADMIN, unix.CAP_SYS_CHROOT,
	unix.CAP_SYS_PTRACE, unix.CAP_SYS_ADMIN, unix.CAP_SYS_RESOURCE, unix.CAP_MKNOD, unix.CAP_SETFCAP,
}

// initialize does the work of a child, if this process is one. A child ends by
// syscall.Exit: in tests that look for races os.Exit waits for a second.
func initialize(tasks map[string]Task) {
	if len(os.Args) == 0 {
		return
	}
	switch os.Args[0] {
	case initName:
		runtime.LockOSThread() // one thread does all that belongs to a thread
		p := &first{out: socket{fd: socketFD}, tasks: tasks}
		if err := p.main(); err != nil {
			var errno syscall.Errno
			errors.As(err, &errno)
			_ = p.out.send(message{Kind: sayFailed, Text: err.Error(), N: int(errno)})
			syscall.Exit(1)
		}
		syscall.Exit(0)
	case execName:
		runtime.LockOSThread()
		execute()
	case fuseName:
		runtime.LockOSThread()
		fmt.Fprintln(os.Stderr, overlayServer(os.Args[1:])) //nolint:forbidigo // who started it reads that
		syscall.Exit(1)
	}
}

// A first is the first process of a sandbox: root of its namespaces, parent of
// all that run in it. When it ends the kernel ends them all.
type first struct {
	out    socket
	tasks  map[string]Task
	c      config
	trees  []int
	odd    string // what is not as it should be
	pid    int    // of the command
	server int    // process that shows the root directory, or 0
	upper  int    // directory of what is written, or -1
	proc   bool   // /proc shows the sandbox's processes
	master *os.File
	dials  sync.WaitGroup

	jailed *place // the root directory of RungChroot
	left   sync.Once
	rest   error // what is left
}

func (p *first) main() error {
	// The command gets its streams and nothing else, whatever this program was
	// started with.
	if err := unix.CloseRange(socketFD, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("closing descriptors: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("shutting others out: %w", err)
	}
	if err := p.listen(); err != nil {
		return err
	}
	if err := p.become(); err != nil {
		return err
	}
	if p.c.Task != "" {
		return p.task()
	}
	return p.command()
}

// listen waits for the configuration and what comes before it.
func (p *first) listen() error {
	for {
		m, fds, err := p.out.receive()
		switch {
		case err != nil:
			return err
		case m.Kind == sayTrees:
			p.trees = append(p.trees, fds...)
		case m.Kind == sayGo && len(fds) == 1:
			f := os.NewFile(uintptr(fds[0]), "config")
			defer f.Close() //nolint:errcheck // nothing depends on it
			return json.NewDecoder(f).Decode(&p.c)
		}
	}
}

// become makes this process root of the sandbox, with nothing from outside.
func (p *first) become() error {
	// The ids were there when newuidmap had set them; the calls are for the
	// groups of the user, which go where they can.
	if !p.c.OneID {
		if err := unix.Setgroups(nil); err != nil {
			return fmt.Errorf("leaving the groups of the user: %w", err)
		}
		if err := errors.Join(unix.Setresgid(0, 0, 0), unix.Setresuid(0, 0, 0)); err != nil {
			return fmt.Errorf("becoming root of the sandbox: %w", err)
		}
	}
	unix.Umask(0o022)
	if p.c.Chroot {
		return nil
	}
	if err := unix.Sethostname([]byte(p.c.Hostname)); err != nil {
		return fmt.Errorf("naming the sandbox: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("parting from the host's mounts: %w", err)
	}
	if p.c.Network == NoNetwork {
		if err := Loopback(); err != nil {
			return fmt.Errorf("starting the sandbox's own network: %w", err)
		}
	}
	if !p.c.Trees {
		var err error
		p.trees, err = open(&p.c, func(m *Mount) (int, error) { return openTree(m.Source) })
		return err
	}
	return nil
}

// Loopback starts the device lo of a network namespace.
func Loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s) //nolint:errcheck // nothing depends on it
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
}

// task runs a task with the scratch directory as its root directory.
func (p *first) task() error {
	task, inside := builtin[p.c.Task], false
	if task == nil {
		task, inside = p.tasks[p.c.Task], true
	}
	if task == nil {
		return fmt.Errorf("no task %q", p.c.Task)
	}
	if err := p.enter(inside); err != nil {
		return err
	}
	go p.hear()
	t := TaskContext{Args: p.c.TaskArgs, In: os.Stdin, Out: os.Stdout, OneID: p.c.OneID} //nolint:forbidigo // the streams are the caller's
	return task(context.Background(), t)
}

// enter enters the scratch directory or, for tasks of this package, the one that
// it is mounted in.
func (p *first) enter(inside bool) error {
	if p.c.Chroot {
		return p.enterPlainly(inside)
	}
	root, err := p.stage()
	if err != nil {
		return err
	}
	if inside {
		root += "/" + scratchName
	}
	if err := errors.Join(unix.Chroot(root), unix.Chdir("/")); err != nil {
		return fmt.Errorf("entering the directory: %w", err)
	}
	return nil
}

// command sets up the root directory, starts the command and waits for it.
func (p *first) command() error {
	x, err := p.fork()
	if err != nil {
		return fmt.Errorf("starting a process in the sandbox: %w", err)
	}
	defer p.leave() //nolint:errcheck // who waits for the command is told
	if err := p.root(x); err != nil {
		return err
	}
	for i, address := range p.c.Ports {
		if err := p.port(i, address); err != nil {
			return err
		}
	}
	if p.c.Terminal {
		if err := p.terminal(); err != nil {
			return fmt.Errorf("making a terminal: %w", err)
		}
	}
	if p.c.Chroot {
		if err := survive(); err != nil {
			return err
		}
	}
	go p.hear()
	if err := p.out.send(message{Kind: sayReady, Text: p.odd}); err != nil {
		return err
	}
	failed, err := x.launch(&p.c)
	if err != nil {
		return err
	}
	if failed != 0 {
		return p.out.send(message{Kind: sayStart, N: int(failed)})
	}
	go p.watch()
	return p.wait()
}

// port opens a listener and hands it out.
func (p *first) port(i int, address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer l.Close() //nolint:errcheck // nothing depends on it
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing depends on it
	return p.out.send(message{Kind: sayListener, N: i}, int(f.Fd()))
}

// terminal makes the command's terminal, /dev/pts/0, and hands out its other end.
func (p *first) terminal() error {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	p.master = os.NewFile(uintptr(fd), "terminal") // as long as this process: closing it would hang up
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return err
	}
	return p.out.send(message{Kind: sayTerminal}, fd)
}

// hear does what is asked for while the command runs. When who asked is gone,
// all ends.
func (p *first) hear() {
	for {
		m, _, err := p.out.receive()
		switch {
		case err != nil:
			_ = p.leave() // nobody is there to be told
			syscall.Exit(1)
		case m.Kind == saySignal && p.pid != 0:
			p.signal(syscall.Signal(m.N))
		case m.Kind == sayDial:
			p.dials.Go(func() { p.dial(m) })
		}
	}
}

// signal sends a signal to the command: with a terminal, to the group that a
// terminal would send it to.
func (p *first) signal(sig syscall.Signal) {
	if p.master != nil {
		if group, err := unix.IoctlGetInt(int(p.master.Fd()), unix.TIOCGPGRP); err == nil && group > 0 {
			_ = syscall.Kill(-group, sig)
			return
		}
	}
	_ = syscall.Kill(p.pid, sig) // it may be gone, which is for the caller to learn in time
}

func (p *first) dial(m message) {
	if p.c.Chroot && p.c.Network == NoNetwork { // who answers there is another
		_ = p.out.send(message{Kind: sayConn, N: m.N, Text: (&ChrootError{"servers"}).Error()})
		return
	}
	conn, err := net.DialTimeout("tcp", m.Text, time.Second) // it is no way, but a server may not accept
	if err != nil {
		_ = p.out.send(message{Kind: sayConn, N: m.N, Text: err.Error()})
		return
	}
	defer conn.Close() //nolint:errcheck // nothing depends on it
	if f, err := conn.(*net.TCPConn).File(); err == nil {
		defer f.Close() //nolint:errcheck // nothing depends on it
		_ = p.out.send(message{Kind: sayConn, N: m.N}, int(f.Fd()))
	}
}

// wait takes leave of every process that ends, and tells how the command did.
func (p *first) wait() error {
	for {
		var how syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &how, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return err
		case pid == p.pid:
			p.dials.Wait() // the command may have ended because it was served
			return p.ended(how)
		}
	}
}

func (p *first) ended(how syscall.WaitStatus) error {
	if err := p.leave(); err != nil {
		return err
	}
	if err := p.finished(); err != nil {
		return err
	}
	if how.Signaled() {
		return p.out.send(message{Kind: sayEnded, N: 128 + int(how.Signal()), Signal: int(how.Signal())})
	}
	return p.out.send(message{Kind: sayEnded, N: how.ExitStatus()})
}
