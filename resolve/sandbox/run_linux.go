// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

func (r *Rung) run(ctx context.Context, c Command) (Result, error) {
	res, _, err := r.runOddly(ctx, c)
	return res, err
}

// runOddly runs a command, and says what is odd about the sandbox here.
func (r *Rung) runOddly(ctx context.Context, c Command) (res Result, odd string, err error) {
	err = locked(func() (err error) {
		s := &session{command: &c}
		res, err = r.runLocked(ctx, s)
		odd = s.odd
		return err
	})
	return res, odd, err
}

func (r *Rung) runLocked(ctx context.Context, s *session) (Result, error) {
	c, parent := s.command, ctx
	if r.chroot { // waiting is no part of the time that it may take
		free, err := takeTurn(ctx, c)
		if err != nil {
			return Result{}, err
		}
		defer free()
	}
	if c.Limits.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Limits.Time)
		defer cancel()
	}
	conf, err := r.config(c)
	if err != nil {
		return Result{}, err
	}
	streams := &exec.Cmd{Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr}
	if c.Terminal {
		streams = &exec.Cmd{}
	}
	defer dropCopies(conf.Scratch)
	k, err := r.start(ctx, conf, streams)
	if err != nil {
		return Result{}, err
	}
	s.link = k.link
	s.follow()
	err = k.cmd.Wait()
	s.finish()
	switch {
	case parent.Err() != nil:
		return Result{}, parent.Err()
	case ctx.Err() != nil:
		return Result{}, &LimitError{"time", c.Limits.Time.String()}
	case s.err != nil:
		return Result{}, s.err
	case s.result == nil:
		return Result{}, fmt.Errorf("the sandbox was ended from outside: %w", cmp.Or(err, errGone))
	default:
		return *s.result, nil
	}
}

// config checks c and turns it into what the child is told.
func (r *Rung) config(c *Command) (*config, error) {
	if r.chroot {
		if err := possible(c); err != nil {
			return nil, err
		}
	}
	conf := &config{
		Path: c.Path, Args: c.Args, Dir: c.Dir, Env: c.Env, Terminal: c.Terminal, User: c.User,
		Hostname: cmp.Or(c.Hostname, "inlay"), Network: c.Network, Limits: c.Limits, Copy: r.copies, Fuse: r.fuse,
	}
	for _, p := range c.Ports {
		conf.Ports = append(conf.Ports, p.Inside)
	}
	for _, m := range c.Mounts {
		if !filepath.IsAbs(m.Target) || filepath.Clean(m.Target) == "/" {
			return nil, fmt.Errorf("mounting at %q in the sandbox: it must be an absolute path, and not /", m.Target)
		}
		if err := absolute(&m.Source); err != nil {
			return nil, err
		}
		conf.Mounts = append(conf.Mounts, m)
	}
	for _, p := range c.Root.Lower {
		if err := absolute(&p); err != nil {
			return nil, err
		}
		conf.Lower = append(conf.Lower, p)
	}
	if c.Root.Scratch == "" {
		return conf, nil
	}
	conf.Scratch = c.Root.Scratch
	return conf, r.ours(&conf.Scratch, 0o700)
}

// dropCopies removes copies of sources, which belong to this user but for what
// lies in them. A command never sees where they are.
func dropCopies(scratch string) {
	if scratch != "" {
		_ = os.RemoveAll(filepath.Join(scratch, copiesName)) // if not now, then with the rest
	}
}

func absolute(p *string) (err error) {
	if *p != "" {
		*p, err = filepath.Abs(*p)
	}
	return err
}

// ours makes a directory that root of the sandbox owns.
func (r *Rung) ours(dir *string, mode os.FileMode) error {
	if err := absolute(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, mode); err != nil {
		return err
	}
	if r.ids.shifted {
		return os.Lchown(*dir, r.ids.uids[0].HostID, r.ids.gids[0].HostID)
	}
	return nil
}

// A session is a command that runs, and what serves it.
type session struct {
	command *Command
	link    *link

	tasks    sync.WaitGroup // what must end before Run does
	open     []net.Listener
	terminal *os.File
	result   *Result
	err      error
	odd      string        // what is not as it should be
	read     chan struct{} // closed when the child says nothing more
}

// follow hears what the child says until it ends.
func (s *session) follow() {
	s.read = make(chan struct{})
	go func() {
		defer close(s.read)
		for {
			m, fds, err := s.link.receive()
			if err != nil {
				return
			}
			if err := s.hear(m, fds); err != nil && s.err == nil {
				s.err = err
			}
		}
	}()
}

// finish ends what served the command.
func (s *session) finish() {
	<-s.read
	s.link.end()
	for _, l := range s.open {
		_ = l.Close()
	}
	if s.terminal != nil && !s.link.started {
		_ = s.terminal.Close()
	}
	s.tasks.Wait()
	s.link.close()
}

func (s *session) hear(m message, fds []int) error {
	switch m.Kind {
	case sayListener:
		return s.listen(m.N, fds)
	case sayTerminal:
		if len(fds) == 1 {
			err := unix.SetNonblock(fds[0], true) // so that Close ends a Read
			s.terminal = os.NewFile(uintptr(fds[0]), "terminal")
			return err
		}
	case sayReady:
		s.odd = m.Text
		s.ready()
	case sayConn:
		d := dialed{fd: -1}
		if len(fds) == 1 {
			d.fd = fds[0]
		} else {
			d.err = errors.New(m.Text)
		}
		if !s.link.answer(m.N, d) {
			closeAll(fds)
		}
	case sayLost:
		return errors.New(m.Text)
	case sayFailed:
		return &setupError{m.Text, syscall.Errno(m.N)}
	case sayStart:
		return &StartError{s.command.Path, syscall.Errno(m.N)}
	case sayLimit:
		return &LimitError{m.Text, s.most(m.Text)}
	case sayEnded:
		s.result = &Result{Exit: m.N, Signal: syscall.Signal(m.Signal)}
	}
	return nil
}

// most says how much of something there may be.
func (s *session) most(limit string) string {
	l := s.command.Limits
	switch limit {
	case "processes":
		return strconv.Itoa(l.Processes)
	case "disk":
		return fmt.Sprintf("%d MB", l.Disk>>20)
	default:
		return fmt.Sprintf("%d MB", l.Memory>>20)
	}
}

// listen serves a port.
func (s *session) listen(n int, fds []int) error {
	if len(fds) != 1 || n >= len(s.command.Ports) {
		return errors.New("the sandbox opened no port")
	}
	f := os.NewFile(uintptr(fds[0]), s.command.Ports[n].Inside)
	defer f.Close() //nolint:errcheck // nothing depends on it
	l, err := net.FileListener(f)
	if err != nil {
		return err
	}
	s.open = append(s.open, l)
	s.tasks.Go(func() { s.command.Ports[n].Serve(l) })
	return nil
}

// ready tells the caller that the command is about to run.
func (s *session) ready() {
	if s.command.Started == nil {
		return
	}
	s.link.started = true
	running := &Running{Terminal: s.terminal, link: s.link}
	s.tasks.Go(func() { s.command.Started(running) })
}

// errOverlay tells that an overlay is what went wrong, in the child and by its
// words here.
var errOverlay = errors.New("mounting the layers as an overlay")

// A setupError is what went wrong inside before the command ran.
type setupError struct {
	text  string
	errno syscall.Errno // that it comes from, or 0
}

func (e *setupError) Error() string { return "setting up the sandbox: " + e.text }

func (e *setupError) Is(target error) bool {
	return target == errOverlay && strings.Contains(e.text, errOverlay.Error())
}

func (e *setupError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}

func (r *Rung) lower(root Root) []string {
	upper := filepath.Join(root.Scratch, "upper")
	if r.copies {
		return []string{upper}
	}
	return append([]string{upper}, root.Lower...)
}

func (r *Rung) do(ctx context.Context, task, dir string, t TaskContext) error {
	if err := r.ours(&dir, 0o755); err != nil {
		return err
	}
	return r.perform(ctx, &config{Task: task, TaskArgs: t.Args, Scratch: dir}, &exec.Cmd{Stdin: t.In, Stdout: t.Out})
}

// perform runs a task.
func (r *Rung) perform(ctx context.Context, c *config, streams *exec.Cmd) error {
	return locked(func() error {
		c.Hostname = "inlay"
		k, err := r.start(ctx, c, streams)
		if err != nil {
			return err
		}
		s := &session{command: &Command{}, link: k.link}
		s.follow()
		err = k.cmd.Wait()
		s.finish()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case s.err != nil:
			var setup *setupError
			if errors.As(s.err, &setup) {
				return errors.New(setup.text) // what the task said
			}
			return s.err
		default:
			return err
		}
	})
}

func (r *Rung) remove(ctx context.Context, dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if r.chroot { // all of it is this user's
			errs = append(errs, os.RemoveAll(dir))
			continue
		}
		dropCopies(dir)
		err := r.ours(&dir, 0o700) // nothing may have run in it yet
		if err == nil {
			err = r.perform(ctx, &config{Task: removeTask, Scratch: dir}, &exec.Cmd{})
		}
		if err == nil {
			err = os.Remove(dir)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("removing %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}
