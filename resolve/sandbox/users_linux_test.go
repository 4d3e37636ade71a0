// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"inlay/resolve/sandbox/sandboxtest"
)

// The users that the tests run as beside the one who started them, and the
// variable that tells them.
const (
	someone = 54321
	asUser  = "INLAY_TEST_USER"
)

// noMounts is the status of a user that couldn't be made.
const noMounts = 99

// onOverlay is the kind of user that is root where no overlay can be mounted, as
// in most containers.
const onOverlay = "root on an overlay"

// inContainer is the kind of user that is root of a container as docker makes
// them by default: few capabilities, no namespaces, no mounts.
const inContainer = "root in a container"

// TestAsUser runs all other tests as a user who is not root: one without
// subordinate ids, and one with some. And as root where there is no overlay, and
// where there is nothing but chroot.
func TestAsUser(t *testing.T) {
	if os.Getenv(asUser) != "" {
		t.Skip("this is the user")
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	if testing.Short() {
		t.Skip("it takes as long as all the others twice")
	}
	for _, kind := range []string{"without ids", "with ids", onOverlay, inContainer} {
		t.Run(kind, func(t *testing.T) {
			dir := openDir(t)
			if err := os.Chown(dir, someone, someone); err != nil {
				t.Fatal(err)
			}
			program := filepath.Join(dir, "test")
			copyFile(t, self(t), program)
			cmd := exec.CommandContext(t.Context(), program)
			cmd.Args = []string{"user", kind, program, "-test.v"}
			if f := flag.Lookup("test.run"); f.Value.String() != "" {
				cmd.Args = append(cmd.Args, "-test.run="+f.Value.String())
			}
			cmd.Dir = dir
			tmp := dir
			switch kind {
			case onOverlay:
				tmp += "/overlay"
			case inContainer:
				tmp += "/memory"
				if err := os.Mkdir(tmp, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			cmd.Env = []string{asUser + "=" + kind, "TMPDIR=" + tmp, "PATH=" + os.Getenv("PATH")}
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
			if kind == inContainer {
				if !sandboxtest.Landlock() {
					t.Skip("Landlock is not there, or is older than Linux 6.12")
				}
				if libraries() != nil {
					t.Skip("this program needs libraries, which are not mounted there: CGO_ENABLED=0 runs the test")
				}
				cmd.SysProcAttr.Unshareflags = sandboxtest.Namespaces
				cmd.Env = append(cmd.Env, rootsDigest+"="+digestOfRoot(t))
			}
			out, err := cmd.CombinedOutput()
			switch exit := (*exec.ExitError)(nil); {
			case errors.Is(err, syscall.EPERM), errors.As(err, &exit) && exit.ExitCode() == noMounts:
				t.Skipf("root can't mount here: %s", out)
			case err != nil:
				t.Errorf("the tests as a user %s: %v", kind, err)
			}
			t.Logf("%s", out)
		})
	}
}

// beUser is an act outside, in mounts of its own: it becomes a user of a kind,
// whatever this machine's own /etc says, and a program.
func beUser(args []string) int {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if args[0] != inContainer {
		err = errors.Join(err, openFuse())
	}
	switch args[0] {
	case onOverlay:
		err = errors.Join(err, overlayHere())
	case inContainer:
		err = errors.Join(err, sandboxtest.Contain(os.Getenv("TMPDIR")))
	default:
		err = errors.Join(err, ownUsers(args[0]))
	}
	if err != nil {
		fmt.Println(err)
		return noMounts
	}
	if args[0] != onOverlay && args[0] != inContainer {
		err = errors.Join(syscall.Setgroups(nil), syscall.Setgid(someone), syscall.Setuid(someone))
	}
	if err == nil {
		err = syscall.Exec(args[1], args[1:], os.Environ())
	}
	return status(err)
}

// ownUsers mounts an /etc that says who has ids.
func ownUsers(kind string) error {
	ids := ""
	if kind == "with ids" {
		ids = "someone:200000:65536\n"
	}
	err := unix.Mount("tmpfs", "/etc", "tmpfs", 0, "mode=755")
	for name, content := range map[string]string{
		"passwd": fmt.Sprintf("root:x:0:0::/root:/bin/sh\nsomeone:x:%d:%d::/:/bin/sh\n", someone, someone), "subuid": ids, "subgid": ids,
	} {
		if err == nil {
			err = os.WriteFile("/etc/"+name, []byte(content), 0o644)
		}
	}
	return err
}

// openFuse lets every user have the device that fuse-overlayfs needs, where
// there is one: most machines do so by themselves.
func openFuse() error {
	const device = "/dev/fuse"
	info, err := os.Stat(device)
	if err != nil || info.Mode().Perm() == 0o666 {
		return nil //nolint:nilerr // tests say what is missing
	}
	if err := errors.Join(os.Mkdir("dev", 0o755), unix.Mount("tmpfs", "dev", "tmpfs", 0, "mode=755")); err != nil {
		return err
	}
	if err := unix.Mknod("dev/fuse", unix.S_IFCHR|0o666, int(unix.Mkdev(10, 229))); err == nil { // else tests say so too
		err = errors.Join(os.Chmod("dev/fuse", 0o666), unix.Mount("dev/fuse", device, "", unix.MS_BIND, ""))
		if err != nil {
			return err
		}
	}
	return unix.Unmount("dev", unix.MNT_DETACH)
}

// overlayHere mounts an overlay at the directory for temporary files.
func overlayHere() error {
	tmp := os.Getenv("TMPDIR")
	if err := errors.Join(os.Mkdir("l", 0o755), os.Mkdir("u", 0o755), os.Mkdir("w", 0o755), os.Mkdir(tmp, 0o755)); err != nil {
		return err
	}
	return unix.Mount("overlay", tmp, "overlay", 0, "lowerdir=l,upperdir=u,workdir=w")
}
