// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"inlay/resolve/sandbox"
)

// TestMain is this program's main in every role: the tests, the first process of
// a sandbox, and the commands that the tests run in one.
func TestMain(m *testing.M) {
	addActs()
	sandbox.Init(map[string]sandbox.Task{"owner": giveAway, "fail": fail, "list": func(_ context.Context, t sandbox.TaskContext) error { return listTask(t.Args, t.Out) }})
	if act, ok := acts[filepath.Base(os.Args[0])]; ok {
		syscall.Exit(act(os.Args[1:])) // which does not wait a second for races, as os.Exit does
	}
	os.Exit(m.Run())
}

// openDir is a temporary directory that all users can pass through.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sandbox") //nolint:usetesting // TempDir's parents let no other user in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func self(t testing.TB) string {
	t.Helper()
	p, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

// A box is a rung, and a root directory to run the acts of this program in.
type box struct {
	*sandbox.Rung
	dir   string // of the host
	lower string
}

// eachRung runs a test in every rung that works here, each with one user.
func eachRung(t *testing.T, f func(t *testing.T, b box)) {
	t.Helper()
	dir := openDir(t)
	works := false
	rungs := probe(t, dir)
	if contained() {
		rungs = append(rungs, sandbox.TryChroot(t.Context(), dir))
	}
	for _, r := range rungs {
		if !r.Works {
			t.Logf("%s: %s", r.Name, r.Why)
			continue
		}
		works = true
		if !shown(t, r.Name, rungs) {
			continue
		}
		t.Run(r.Name, func(t *testing.T) { f(t, newBox(t, r)) })
	}
	if works {
		return
	}
	cmd := exec.Command(self(t))
	cmd.Args = []string{"true"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
	}
	if err := cmd.Run(); err != nil {
		t.Skipf("no namespaces here, and no rung works: see above: %v", err)
	}
	t.Error("there are namespaces here, but no rung works: see above")
}

// probe tries all rungs, those too that are taken by their names alone.
func probe(t testing.TB, dir string) []sandbox.Rung {
	t.Helper()
	rungs := sandbox.Probe(t.Context(), dir)
	for i, r := range rungs {
		if !r.Asked {
			continue
		}
		asked, err := sandbox.Choose(t.Context(), dir, r.Name)
		if err != nil {
			t.Fatal(err)
		}
		rungs[i] = *asked
	}
	return rungs
}

// shown reports whether a test is for a rung that works, as this user: what is in
// place of the kernel's overlay is the same for all, but for the changes that it
// finds.
func shown(t *testing.T, name string, rungs []sandbox.Rung) bool {
	works := func(r sandbox.Rung) bool { return r.Name == sandbox.RungFuse && r.Works }
	switch {
	case name != sandbox.RungCopy && name != sandbox.RungFuse:
		return os.Getenv(asUser) != "with ids" || name == sandbox.RungSubIDs // others are the same without them
	case testing.Short():
		return false // for the race detector they are the same as the others
	case t.Name() == "TestDiff" || t.Name() == "TestRecall":
		return true
	}
	switch os.Getenv(asUser) {
	case "": // root
		return name == sandbox.RungCopy
	case "without ids", onOverlay:
		return name == sandbox.RungFuse || !slices.ContainsFunc(rungs, works)
	default:
		return false
	}
}

// newBox makes a root directory of two layers, whose files belong as the rung
// wants it.
func newBox(t testing.TB, r sandbox.Rung) box {
	t.Helper()
	dir := openDir(t)
	b := box{&r, dir, filepath.Join(dir, "lower")}
	t.Cleanup(func() { b.clean(t, b.lower) })
	program, err := os.Open(self(t))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if err := r.Do(t.Context(), "owner", b.lower, sandbox.TaskContext{In: program}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b box) clean(t testing.TB, dirs ...string) {
	if err := b.Remove(context.WithoutCancel(t.Context()), dirs...); err != nil {
		t.Errorf("Remove: %v", err)
	}
}

// scratch is a new scratch directory.
func (b box) scratch(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(b.dir, "scratch"+rand.Text())
	t.Cleanup(func() { b.clean(t, dir) })
	return dir
}

// root is the layer with a new scratch directory.
func (b box) root(t testing.TB) sandbox.Root {
	return sandbox.Root{Lower: []string{b.lower}, Scratch: b.scratch(t)}
}

// giveAway is a task: it makes the layer that acts run in.
func giveAway(_ context.Context, t sandbox.TaskContext) error {
	if err := os.MkdirAll("/bin", 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile("/bin/act", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, t.In); err != nil {
		return err
	}
	for name := range acts {
		if err := os.Symlink("act", "/bin/"+name); err != nil {
			return err
		}
	}
	for name, content := range map[string]string{"/etc/kept": "kept", "/etc/gone": "gone", "/dir/a": "a", "/dir/b": "b", "/other/x": "x", "/other/y": "y", "/turn/file": "", "/turn/dir/in": ""} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return err
		}
	}
	if err := errors.Join(os.Symlink("../../..", "/out"), os.WriteFile("/text", []byte("no program"), 0o755)); err != nil {
		return err
	}
	if t.OneID {
		return f.Close()
	}
	return errors.Join(f.Close(), os.Lchown("/etc/kept", 7, 8))
}

func fail(context.Context, sandbox.TaskContext) error { return errors.New("it did not work") }

// act runs an act of this program in a new root, and returns what it printed.
func (b box) act(t *testing.T, c sandbox.Command, name string, args ...string) (string, sandbox.Result) {
	t.Helper()
	var out bytes.Buffer
	c.Path, c.Args = "/bin/"+name, args
	c.Mounts = slices.Concat(libraries(), c.Mounts)
	c.Stdout, c.Stderr = &out, &out
	if c.Root.Lower == nil {
		c.Root = b.root(t)
	}
	res, err := b.Run(t.Context(), c)
	if err != nil {
		t.Fatalf("running %s %q: %v\n%s", name, args, err, &out)
	}
	return out.String(), res
}

// libraries are mounts that this program needs to run, where it was built to
// need any, as for the race detector.
func libraries() []sandbox.Mount {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return nil
	}
	return slices.DeleteFunc(sandbox.HostTools(), func(m sandbox.Mount) bool { return !strings.HasPrefix(m.Target, "/lib") })
}

// acts are the commands that tests run in sandboxes: by name, what they do and
// with which status they end.
var acts = map[string]func(args []string) int{
	"echo":  func(args []string) int { fmt.Println(args); return 0 },
	"exit":  func([]string) int { return 7 },
	"sleep": func([]string) int { time.Sleep(time.Hour); return 0 },
	"die":   func([]string) int { _ = syscall.Kill(os.Getpid(), syscall.SIGTERM); select {} },
	"cat": func([]string) int {
		_, err := io.Copy(os.Stdout, os.Stdin)
		return status(err)
	},
	"self": func([]string) int {
		wd, _ := os.Getwd()
		env := os.Environ()
		slices.Sort(env)
		host, _ := os.Hostname()
		groups, _ := os.Getgroups()
		fmt.Println(os.Getuid(), os.Getgid(), groups, wd, env, host)
		return 0
	},
}

// addActs adds the acts of the other files.
func addActs() {
	for name, act := range map[string]func([]string) int{
		"change": change, "sh": sh, "escapes": tryEscapes, "caller": caller, "daemon": daemon, "middle": middle, "exe": exe,
		"bomb": bomb, "user": beUser, "shared": tryShared, "peer": bePeer, "lose": lose, "move": move, "eat": eat, "fill": fill, "odd": odd,
	} {
		acts[name] = act
	}
	maps.Copy(acts, featureActs)
}

func status(err error) int {
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func TestRun(t *testing.T) {
	eachRung(t, func(t *testing.T, b box) {
		root := b.root(t)
		if out, res := b.act(t, sandbox.Command{Root: root}, "echo", "a", "b c"); out != "[a b c]\n" || res.Exit != 0 {
			t.Errorf("echo prints %q and ends with %+v", out, res)
		}
		if _, res := b.act(t, sandbox.Command{Root: root}, "exit"); res != (sandbox.Result{Exit: 7}) {
			t.Errorf("exit 7 ends with %+v", res)
		}
		if _, res := b.act(t, sandbox.Command{Root: root}, "die"); res != (sandbox.Result{Exit: 143, Signal: syscall.SIGTERM}) {
			t.Errorf("SIGTERM ends with %+v", res)
		}
		if out, _ := b.act(t, sandbox.Command{Root: root, Stdin: strings.NewReader("in")}, "cat"); out != "in" {
			t.Errorf("cat of \"in\" prints %q", out)
		}
		want := "5 6 [7 8] /new/dir [A=1] inlay\n"
		if contained() { // the machine's name is the command's
			name, _ := os.Hostname()
			want = "5 6 [7 8] /new/dir [A=1] " + name + "\n"
		}
		if strings.HasSuffix(b.Owners, "-one") {
			want = "5 6 [] /new/dir [A=1] inlay\n"
		}
		if out, _ := b.act(t, sandbox.Command{Root: root, Dir: "/new/dir", Env: []string{"A=1"}, User: sandbox.User{UID: 5, GID: 6, Groups: []int{7, 8}}}, "self"); out != want {
			t.Errorf("it is %q, want %q", out, want)
		}
	})
}
