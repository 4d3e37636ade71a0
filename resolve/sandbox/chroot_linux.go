// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	"github.com/moby/sys/capability"
	"golang.org/x/sys/unix"
)

// chrootAdvice says what RungChroot needs.
const chrootAdvice = "run inlay as root, with the capabilities that docker gives root of a container, on Linux 6.12 or newer with Landlock"

// chrootLike says what the rung is like: the word of warning that whoever asks
// for it gets.
const chrootLike = "WEAK: chroot, Landlock and seccomp in place of namespaces, layers are copied for each command. " +
	"Root of the sandbox is root of this machine or container, the network is the same: " +
	"TCP is held to the numbers of inlay's ports, at whatever host, and the kernel's walls are thinner"

func tryChroot(ctx context.Context, dir string) Rung {
	r := Rung{Name: RungChroot, copies: true, chroot: true}
	if err := chrootRights(); err != nil {
		r.Why, r.Fix = err.Error(), chrootAdvice
		return r
	}
	r.try(ctx, dir, chrootIDs(), chrootLike)
	return r
}

// chrootIDs are the machine's.
func chrootIDs() ids { return ids{uids: mapping(0, 0, enough), gids: mapping(0, 0, enough)} }

// chrootRights says what is missing of the rights that the rung takes.
func chrootRights() error {
	if os.Geteuid() != 0 {
		return errors.New("this user is not root")
	}
	caps, err := capability.NewPid2(0)
	if err == nil {
		err = caps.Load()
	}
	if err != nil {
		return err
	}
	var missing []string
	for _, c := range append(slices.Clone(commandCaps), capability.CAP_MKNOD) {
		if !caps.Get(capability.EFFECTIVE, c) {
			missing = append(missing, c.String())
		}
	}
	if missing != nil {
		return fmt.Errorf("root has not the capabilities %s here", strings.Join(missing, ", "))
	}
	return nil
}

// possible reports what c needs that only mounts or namespaces give.
func possible(c *Command) error {
	switch {
	case c.Terminal:
		return &ChrootError{"a terminal of its own"}
	case c.Root.Scratch == "":
		return &ChrootError{"a root directory that can't be written"}
	}
	for _, m := range c.Mounts {
		if m.everybodys {
			return &ChrootError{"the programs of this machine"}
		}
		if m.Writable {
			return &ChrootError{"a directory of this machine that can be written, as " + m.Target}
		}
	}
	return nil
}

// turn is held by the command that has the network: its ports are this
// machine's, and there is one of each number.
var turn = make(chan struct{}, 1)

func takeTurn(ctx context.Context, c *Command) (free func(), err error) {
	if len(c.Ports) == 0 {
		return func() {}, nil
	}
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// outlive has a child end by itself, once it has ended all that it started: no
// namespace does it. Until it has started something it ends like any other.
func outlive(cmd *exec.Cmd, socket int) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error {
		return errors.Join(unix.Shutdown(socket, unix.SHUT_RDWR), cmd.Process.Signal(syscall.SIGTERM))
	}
}

// survive makes this process one that ends when its socket is closed, takes in
// the orphans of what it starts, and ends only after them.
func survive() error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
	err := unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0)
	if err == nil {
		err = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	}
	return err
}

// leave ends all that runs in a chroot and takes back what was lent to it; in a
// namespace the kernel does.
func (p *first) leave() error {
	if !p.c.Chroot {
		return nil
	}
	p.left.Do(func() {
		p.rest = sweep()
		if p.jailed != nil {
			p.rest = errors.Join(p.rest, takeBack(p.jailed))
		}
	})
	return p.rest
}

// jail makes the root directory of a chroot: a copy of the layers in the scratch
// directory, with what would be mounted in it lying there for so long.
func (p *first) jail(x *forked) error {
	if err := p.enterPlainly(false); err != nil {
		return err
	}
	if err := p.prepare(); err != nil {
		return err
	}
	fd, err := unix.Open(upperName, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	p.upper, p.proc = fd, true
	root := &place{fd: fd}
	if root.path, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err != nil {
		return err
	}
	if err := takeBack(root); err != nil { // what a command left that was killed
		return err
	}
	p.jailed, p.c.Jail = root, root.path
	if err := lendDevices(root); err != nil {
		return fmt.Errorf("making /dev: %w", err)
	}
	if err := p.mounts(root); err != nil {
		return err
	}
	if err := p.remember(root.made); err != nil {
		return err
	}
	return x.wait()
}

// enterPlainly enters the scratch directory: as the root directory, or with the
// name that it has where mounts are.
func (p *first) enterPlainly(inside bool) error {
	err := unix.Chdir(p.c.Scratch)
	switch {
	case err != nil:
	case inside:
		err = errors.Join(unix.Chroot("."), unix.Chdir("/"))
	default:
		if err = os.Symlink(".", scratchName); errors.Is(err, os.ErrExist) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("entering the directory: %w", err)
	}
	return nil
}

// enterJail shuts this process in the root directory, with what Landlock has to
// say: files beneath it and no others, no signal and no abstract socket of others,
// and TCP to no port but those that it was given. Nothing of it is optional.
func enterJail(c *config) error {
	all := landlock.RWDirs(c.Jail).WithRefer().WithIoctlDev()
	var err error
	if c.Network == HostNetwork {
		if err = landlock.V6.RestrictPaths(all); err == nil {
			err = landlock.V6.RestrictScoped()
		}
	} else {
		rules := []landlock.Rule{all}
		for _, address := range c.Ports {
			port, err := portOf(address)
			if err != nil {
				return err
			}
			rules = append(rules, landlock.ConnectTCP(port))
		}
		err = landlock.V6.Restrict(rules...)
	}
	if err != nil {
		return fmt.Errorf("shutting the command in with Landlock: %w", err)
	}
	if err := errors.Join(unix.Chroot(c.Jail), unix.Chdir("/")); err != nil {
		return fmt.Errorf("changing the root directory: %w", err)
	}
	return nil
}

func portOf(address string) (uint16, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return uint16(n), err
}
