// SPDX-License-Identifier: Apache-2.0

// Package sandboxtest makes a process one as in the containers that docker makes
// by default: root with few capabilities, no namespaces, no mounts. It is for
// tests, in a process that has mounts and a network of its own already, so that
// what they do is out of reach of the machine.
package sandboxtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/moby/sys/capability"
	"golang.org/x/sys/unix"

	"inlay/resolve/sandbox"
	"inlay/resolve/sandbox/seccomp"
)

// Namespaces are what the process must have of its own.
const Namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// capabilities are those that docker gives.
var capabilities = []capability.Cap{
	capability.CAP_CHOWN, capability.CAP_DAC_OVERRIDE, capability.CAP_FSETID, capability.CAP_FOWNER, capability.CAP_MKNOD,
	capability.CAP_NET_RAW, capability.CAP_SETGID, capability.CAP_SETUID, capability.CAP_SETFCAP, capability.CAP_SETPCAP,
	capability.CAP_NET_BIND_SERVICE, capability.CAP_SYS_CHROOT, capability.CAP_KILL, capability.CAP_AUDIT_WRITE,
}

// Contain makes this process, which is root, such a one for good. A file system
// in memory is mounted at the directory tmp: devices are made there, and on no
// disk.
func Contain(tmp string) error {
	err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("tmpfs", tmp, "tmpfs", 0, "mode=755"),
		sandbox.Loopback(), // so that there is something to reach
	)
	if err != nil {
		return err
	}
	caps, err := capability.NewPid2(0)
	if err != nil {
		return err
	}
	all := capability.CAPS | capability.BOUNDS | capability.AMBS
	caps.Clear(all)
	caps.Set(capability.PERMITTED|capability.EFFECTIVE|capability.BOUNDS, capabilities...)
	if err := caps.Apply(all); err != nil {
		return err
	}
	return errors.Join(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), seccomp.Filter{}.Install())
}

// role is the name under which this program is started to be contained.
const role = "inlay test: contained"

// Command returns a program to be run in such a container, with the directory
// tmp in memory. [Init] is the first call of TestMain then.
func Command(ctx context.Context, tmp, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = append([]string{role, tmp, program}, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: Namespaces}
	return cmd
}

// Init does the work of a [Command], if this process is one.
func Init() {
	if os.Args[0] != role {
		return
	}
	err := Contain(os.Args[1])
	if err == nil {
		err = syscall.Exec(os.Args[2], os.Args[2:], os.Environ()) //nolint:forbidigo // it is a main
	}
	fmt.Fprintln(os.Stderr, err) //nolint:forbidigo // as above
	os.Exit(1)                   //nolint:forbidigo // as above
}

// Landlock reports whether the kernel has what takes the place of namespaces:
// Landlock as of Linux 6.12, by the version of its calls.
func Landlock() bool {
	version, _, errno := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	return errno == 0 && version >= 6
}
