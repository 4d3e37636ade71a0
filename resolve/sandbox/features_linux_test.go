// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"inlay/resolve/sandbox"
)

// TestPorts shows that this process can be a server in a sandbox without a
// network, and a client of one there.
func TestPorts(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		closed := false
		port := sandbox.Port{Inside: "127.0.0.1:3128", Serve: func(l net.Listener) {
			for {
				c, err := l.Accept()
				if err != nil {
					closed = errors.Is(err, net.ErrClosed)
					return
				}
				fmt.Fprintf(c, "from outside, at %s", c.LocalAddr())
				c.Close()
			}
		}}
		out, res := b.act(t, sandbox.Command{Ports: []sandbox.Port{port}}, "get", "127.0.0.1:3128")
		if out != "from outside, at 127.0.0.1:3128" || res.Exit != 0 {
			t.Errorf("the client gets %q, and ends with %+v", out, res)
		}
		if !closed {
			t.Error("the listener was not closed")
		}
		if contained() {
			return // nothing can listen there: see TestShared
		}
		dialed := make(chan string, 1)
		_, res = b.act(t, sandbox.Command{Started: func(r *sandbox.Running) {
			defer close(dialed)
			var c net.Conn
			if !settles(func() bool {
				var err error
				c, err = r.Dial(t.Context(), "127.0.0.1:8080")
				return err == nil
			}) {
				return
			}
			defer c.Close()
			said, _ := io.ReadAll(c)
			dialed <- string(said)
		}}, "server", "127.0.0.1:8080")
		if got := <-dialed; got != "from inside" || res.Exit != 0 {
			t.Errorf("the server says %q, and ends with %+v", got, res)
		}
	})
}

// TestHostNetwork shows that a command that is given the host's network has it.
func TestHostNetwork(t *testing.T) {
	address := serve(t, "tcp", "127.0.0.1:0")
	eachRung(t, func(t *testing.T, b box) {
		if out, res := b.act(t, sandbox.Command{Network: sandbox.HostNetwork}, "ping", address); res.Exit != 0 {
			t.Errorf("with the host's network: %s", out)
		}
		if _, res := b.act(t, sandbox.Command{}, "ping", address); res.Exit == 0 {
			t.Error("without a network the host's loopback answers")
		}
	})
}

// TestSignal shows that signals reach the command, and its status comes back.
func TestSignal(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		r, w := io.Pipe()
		res, err := b.Run(t.Context(), sandbox.Command{
			Path: "/bin/trap", Root: b.root(t), Stdout: w, Mounts: libraries(),
			Started: func(run *sandbox.Running) {
				_, _ = r.Read(make([]byte, 100)) // it is ready
				if err := run.Signal(syscall.SIGUSR1); err != nil {
					t.Errorf("Signal: %v", err)
				}
			},
		})
		if err != nil || res != (sandbox.Result{Exit: 9}) {
			t.Errorf("it ends with %+v, %v, want the status 9 of the signal's handler", res, err)
		}
	})
}

// TestTerminal shows that a command gets a terminal that is its own in all ways.
func TestTerminal(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		said := make(chan string, 1)
		res, err := b.Run(t.Context(), sandbox.Command{
			Path: "/bin/tty", Root: b.root(t), Terminal: true, Mounts: libraries(),
			Started: func(r *sandbox.Running) {
				defer r.Terminal.Close()
				if err := unix.IoctlSetWinsize(int(r.Terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 12, Col: 34}); err != nil {
					t.Error(err)
				}
				if _, err := r.Terminal.WriteString("input\n"); err != nil {
					t.Error(err)
				}
				all, _ := io.ReadAll(r.Terminal) // ends with EIO when the other end is closed
				said <- string(all)
			},
		})
		if contained() {
			refused(t, err)
			return
		}
		out := <-said
		if err != nil || res.Exit != 0 || !strings.Contains(out, "12 rows 34 columns, read input") {
			t.Errorf("it ends with %+v, %v, and says %q", res, err, out)
		}
		if out, res := b.act(t, sandbox.Command{}, "tty"); res.Exit != 1 || !strings.Contains(out, "no such device") {
			t.Errorf("without a terminal it ends with %+v, and says %q", res, out)
		}
	})
}

// TestReadOnly shows that a root without a scratch directory can't be changed,
// and yet has its mounts.
func TestReadOnly(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		c := sandbox.Command{Root: sandbox.Root{Lower: []string{b.lower}}, Mounts: []sandbox.Mount{{Target: "/new/x", Content: []byte("x")}}}
		if contained() {
			_, err := b.Run(t.Context(), c)
			refused(t, err)
			return
		}
		if out, res := b.act(t, c, "sh", "exists /new/x", "exists /proc/self", "write /dev/null", "write /dev/shm/x"); res.Exit != 0 {
			t.Errorf("it says %s", out)
		}
		if out, res := b.act(t, c, "sh", "write /etc/x"); res.Exit != 1 || !strings.Contains(out, "read-only") {
			t.Errorf("writing: it ends with %+v and says %s", res, out)
		}
	})
}

// TestHostTools shows that the host's programs run over no layers at all.
func TestHostTools(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		var out bytes.Buffer
		res, err := b.Run(t.Context(), sandbox.Command{
			Root: sandbox.Root{Scratch: b.scratch(t)},
			Path: "sh", Args: []string{"-c", "id -u; ls -d /home /root /etc/passwd /etc/ssl/private"}, Env: []string{"PATH=/nowhere:/usr/bin:/bin"},
			Mounts: sandbox.HostTools(), Stdout: &out,
		})
		if contained() {
			refused(t, err)
			return
		}
		if err != nil || res.Exit == 0 || out.String() != "0\n" {
			t.Errorf("it ends with %+v, %v, and prints %q", res, err, &out)
		}
	})
}

// TestStartError shows what is said of commands that can't be started.
func TestStartError(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		for p, want := range map[string]error{
			"/bin/absent": fs.ErrNotExist, "absent": fs.ErrNotExist, "/etc/kept": fs.ErrPermission, "/bin": fs.ErrPermission, "/text": syscall.ENOEXEC,
		} {
			_, err := b.Run(t.Context(), sandbox.Command{
				Path: p, Env: []string{"PATH=/bin"}, Root: b.root(t), User: sandbox.User{UID: 1},
				Mounts: libraries(),
			})
			var start *sandbox.StartError
			if !errors.As(err, &start) || !errors.Is(err, want) || start.Path != p || start.Hint() == "" {
				t.Errorf("running %s: %v, want a StartError that is %v", p, err, want)
			}
		}
	})
}

// TestTask shows that tasks have the directory for all there is, and can't hide
// that they fail.
func TestTask(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		dir := filepath.Join(b.dir, "task")
		t.Cleanup(func() { b.clean(t, dir, filepath.Join(b.dir, "absent")) })
		var out bytes.Buffer
		err := b.Do(t.Context(), "list", dir, sandbox.TaskContext{Args: []string{"/", ".."}, Out: &out})
		if err != nil || out.String() != "[]\n[]\n" {
			t.Errorf("the task sees %q, %v, want an empty directory", &out, err)
		}
		if err := b.Do(t.Context(), "fail", dir, sandbox.TaskContext{}); err == nil || err.Error() != "it did not work" {
			t.Errorf("a task that fails: %v", err)
		}
		if err := b.Do(t.Context(), "absent", dir, sandbox.TaskContext{}); err == nil {
			t.Error("a task that isn't there is no error")
		}
	})
}

// TestChoose shows that what isn't there or doesn't work is told, and nothing
// else taken for it.
func TestChoose(t *testing.T) {
	dir := openDir(t)
	best := ""
	for _, r := range probe(t, dir) {
		got, err := sandbox.Choose(t.Context(), dir, r.Name)
		var none *sandbox.NoRungError
		switch {
		case r.Works && (err != nil || got.Name != r.Name || got.Owners == "" || r.Why == ""):
			t.Errorf("Choose(%q) = %+v, %v, which works: %+v", r.Name, got, err, r)
		case !r.Works && (!errors.As(err, &none) || !strings.Contains(err.Error(), r.Why) || none.Hint() == ""):
			t.Errorf("Choose(%q) = %v, which does not work: %+v", r.Name, err, r)
		}
		if r.Works && !r.Asked && best == "" {
			best = r.Name
		}
	}
	if got, err := sandbox.Choose(t.Context(), dir, ""); best != "" && (err != nil || got.Name != best) {
		t.Errorf("Choose = %+v, %v, want %s", got, err, best)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("trying leaves %v", left)
	}
}

// TestRecall shows that a rung that is recalled isolates as the one that was
// tried, and that none is recalled that can't.
func TestRecall(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		kept, err := b.Memory()
		if err != nil {
			t.Fatal(err)
		}
		r, err := sandbox.Recall(kept)
		if err != nil {
			t.Fatal(err)
		}
		if r.Name != b.Name || !r.Works || r.Why != b.Why || r.Fix != b.Fix || r.Asked != b.Asked || r.Owners != b.Owners || r.OneID() != b.OneID() {
			t.Errorf("Recall = %+v, want %+v", r, b.Rung)
		}
		if out, res := (box{r, b.dir, b.lower}).act(t, sandbox.Command{Root: b.root(t)}, "change"); res.Exit != 0 {
			t.Errorf("a command ends with %+v: %s", res, out)
		}
	})
	for _, kept := range []string{"", "{}", `{"Name":"root","Owners":"7-7"}`, `{"Name":"copy","Owners":"7-7"}`} {
		if r, err := sandbox.Recall([]byte(kept)); err == nil {
			t.Errorf("Recall(%s) = %+v", kept, r)
		}
	}
}

// TestCircumstances shows that they are the same for the same, and others for
// other file systems.
func TestCircumstances(t *testing.T) {
	dir := openDir(t)
	a := sandbox.Circumstances(dir)
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if b := sandbox.Circumstances(dir); a != b {
		t.Errorf("they change from\n%s\nto\n%s", a, b)
	}
	if b := sandbox.Circumstances("/proc"); a == b {
		t.Errorf("another file system has the same:\n%s", a)
	}
}

// BenchmarkStart measures a command that does nothing, from Run to its result.
func BenchmarkStart(b *testing.B) {
	dir := openDir(b)
	for _, r := range sandbox.Probe(b.Context(), dir) {
		if !r.Works {
			continue
		}
		b.Run(r.Name, func(b *testing.B) {
			x := newBox(b, r)
			root := x.root(b)
			for b.Loop() {
				if _, err := x.Run(b.Context(), sandbox.Command{Path: "/bin/true", Root: root, Mounts: libraries()}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// featureActs are the acts of this file.
var featureActs = map[string]func([]string) int{
	"true":   func([]string) int { return 0 },
	"mounts": mounts,
	"get": func(args []string) int {
		c, err := net.Dial("tcp", args[0])
		if err != nil {
			return status(err)
		}
		_, err = io.Copy(os.Stdout, c)
		return status(err)
	},
	"ping": func(args []string) int { return status(talk("tcp", args[0])) },
	"server": func(args []string) int {
		l, err := net.Listen("tcp", args[0])
		if err != nil {
			return status(err)
		}
		c, err := l.Accept()
		if err != nil {
			return status(err)
		}
		_, err = c.Write([]byte("from inside"))
		return status(errors.Join(err, c.Close()))
	},
	"trap": func([]string) int {
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGUSR1)
		fmt.Println("ready")
		select {
		case <-c:
			return 9
		case <-time.After(time.Minute):
			return 1
		}
	},
	"tty": func([]string) int {
		f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
		if err != nil {
			return status(err)
		}
		var line string
		if _, err := fmt.Scanln(&line); err != nil { // by then the size is set
			return status(err)
		}
		size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			return status(err)
		}
		fmt.Printf("%d rows %d columns, read %s\n", size.Row, size.Col, line)
		return 0
	},
}

// listTask is what a task does: it prints what directories hold.
func listTask(args []string, out io.Writer) error {
	for _, dir := range args {
		names, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, names)
	}
	return nil
}

// TestUmask tries rungs under a umask that lets nobody else read what is made:
// they work as under any other.
func TestUmask(t *testing.T) {
	works := func(umask int) (names []string) {
		defer syscall.Umask(syscall.Umask(umask))
		for _, r := range sandbox.Probe(t.Context(), openDir(t)) {
			if r.Works {
				names = append(names, r.Name)
			}
		}
		return names
	}
	if got, want := works(0o077), works(0o022); !slices.Equal(got, want) {
		t.Errorf("with umask 077 what works is %q, with 022 it is %q", got, want)
	}
}
