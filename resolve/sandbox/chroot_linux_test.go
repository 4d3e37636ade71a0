// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"inlay/resolve/sandbox"
)

// contained reports whether the tests run in a container without namespaces, and
// so on the rung of that name alone.
func contained() bool { return os.Getenv(asUser) == inContainer }

// refused checks that err says what the rung is without.
func refused(t *testing.T, err error) {
	t.Helper()
	var e *sandbox.ChrootError
	if !errors.As(err, &e) || !strings.Contains(e.Error(), "without mounts and namespaces") || e.Hint() == "" {
		t.Errorf("Run = %v, want a ChrootError", err)
	}
}

// lent checks that nothing is left of what was lent for the time of a command.
func (b box) lent(t *testing.T, scratch, host string) {
	t.Helper()
	for _, p := range []string{"file", "private", "dir/in"} {
		if c, err := os.ReadFile(filepath.Join(host, p)); err != nil || string(c) != "host" {
			t.Errorf("the host's %s is %q, %v", p, c, err)
		}
	}
	err := filepath.WalkDir(scratch, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if c, err := os.ReadFile(p); err != nil || strings.Contains(string(c), "secret") && len(c) < 100 {
			t.Errorf("%s holds %q, %v", p, c, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestChrootIsAskedFor shows that the rung is taken by its name, and in no other
// way.
func TestChrootIsAskedFor(t *testing.T) {
	if !contained() {
		t.Skip("there are namespaces, or no rights")
	}
	dir := openDir(t)
	got, err := sandbox.Choose(t.Context(), dir, "")
	var none *sandbox.NoRungError
	if !errors.As(err, &none) {
		t.Errorf("Choose = %+v, %v, want no rung", got, err)
	}
	got, err = sandbox.Choose(t.Context(), dir, sandbox.RungChroot)
	if err != nil || !strings.HasPrefix(got.Why, "WEAK: ") {
		t.Errorf("Choose(chroot) = %+v, %v", got, err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("trying leaves %v", left)
	}
}

// reaches are for what is shared where there are no namespaces.
var reaches = []escape{
	{"listen at a port that the kernel finds", func(target) error {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		return unix.Listen(s, 1)
	}, true},
	{"be a server", func(target) error {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		return unix.Bind(s, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}, true},
	{"connect before it is asked", fastOpen, true},
	{"connect by more paths", func(t target) error { return connect(t, unix.IPPROTO_MPTCP) }, false},
	{"connect by another protocol", func(target) error { return anySocket(unix.AF_INET, unix.SOCK_SEQPACKET) }, false},
	{"open a socket for datagrams", func(target) error { return anySocket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC) }, true},
	{"ask the kernel of the network", func(target) error { return anySocket(unix.AF_NETLINK, unix.SOCK_RAW) }, true},
	{"share memory", func(target) error { return call(unix.SYS_SHMGET, 0, 4096, 0o600|unix.IPC_CREAT) }, false},
	{"set limits of another process", func(t target) error {
		return unix.Prlimit(t.PID, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
	}, true},
	{"slow another process", func(t target) error { return unix.Setpriority(unix.PRIO_PROCESS, t.PID, 1) }, true},
	{"signal all processes", func(target) error { return unix.Kill(1, 0) }, false},
}

// fastOpen connects without connect(2).
func fastOpen(t target) error {
	return withSocket(t, 0, func(s int, to unix.Sockaddr) error { return unix.Sendto(s, []byte("ping"), unix.MSG_FASTOPEN, to) })
}

func connect(t target, protocol int) error { return withSocket(t, protocol, unix.Connect) }

// withSocket makes a socket, and tells where the target listens.
func withSocket(t target, protocol int, use func(s int, to unix.Sockaddr) error) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, protocol)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	to, err := net.ResolveTCPAddr("tcp", t.TCP)
	if err != nil {
		return err
	}
	return use(s, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte{127, 0, 0, 1}})
}

// tryShared is the act: tryEscapes with others.
func tryShared(args []string) int {
	escapes = reaches
	return tryEscapes(args)
}

// TestShared shows that what namespaces would keep apart is kept apart without
// them, by trying the same outside and inside.
func TestShared(t *testing.T) {
	if !contained() {
		t.Skip("there are namespaces, or no rights")
	}
	to := newTarget(t)
	t.Setenv("TARGET", strings.TrimPrefix(to.env(t)[0], "TARGET="))
	for _, e := range reaches {
		if err := e.try(to); e.plain && err != nil {
			t.Errorf("without a sandbox: nobody could %s: %v", e.name, err)
		}
	}
	eachRung(t, func(t *testing.T, b box) {
		for _, user := range []sandbox.User{{}, {UID: 1000, GID: 1000}} {
			out, res := b.act(t, sandbox.Command{Env: to.env(t), User: user}, "shared")
			if res.Exit != 0 || strings.Count(out, "held:") != len(reaches) {
				t.Errorf("it ends with %+v, and says\n%s", res, out)
			}
		}
	})
}

// TestTurns shows that commands with the same ports wait for each other.
func TestTurns(t *testing.T) {
	if !contained() {
		t.Skip("there are namespaces, or no rights")
	}
	eachRung(t, func(t *testing.T, b box) {
		done := make(chan error, 3)
		for range cap(done) {
			root := b.root(t)
			go func() {
				var out strings.Builder
				port := sandbox.Port{Inside: "127.0.0.1:3128", Serve: func(l net.Listener) {
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						fmt.Fprint(c, "served")
						c.Close()
					}
				}}
				_, err := b.Run(t.Context(), sandbox.Command{Path: "/bin/get", Args: []string{"127.0.0.1:3128"}, Root: root, Ports: []sandbox.Port{port}, Stdout: &out, Limits: sandbox.Limits{Time: time.Minute}})
				if err == nil && out.String() != "served" {
					err = fmt.Errorf("it prints %q", &out)
				}
				done <- err
			}()
		}
		for range cap(done) {
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("they wait for ever")
			}
		}
	})
}
