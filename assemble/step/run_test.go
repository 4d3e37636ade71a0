// SPDX-License-Identifier: Apache-2.0

package step_test

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/assemble/rootfs"
	"inlay/assemble/step"
	"inlay/layers"
	"inlay/layers/leak"
	"inlay/resolve/plan"
	"inlay/resolve/sandbox"
)

// TestMain is this program's main in every role: the tests, the first process of
// a sandbox, and the shell and the Python of the image in it.
func TestMain(m *testing.M) {
	tasks := map[string]sandbox.Task{}
	for _, name := range []string{rootfs.UnpackTask, rootfs.SumTask} {
		tasks[name] = func(ctx context.Context, t sandbox.TaskContext) error {
			return rootfs.Task(ctx, name, "/", t.OneID, t.In, t.Out)
		}
	}
	sandbox.Init(tasks)
	if filepath.Base(os.Args[0]) == "sh" {
		os.Exit(shell(os.Args[2]))
	}
	if filepath.Base(os.Args[0]) == "python3" {
		os.Exit(compiler())
	}
	os.Exit(m.Run())
}

// shell does one thing after the other: "write PATH TEXT; remove PATH; …".
func shell(script string) int {
	for line := range strings.SplitSeq(script, "; ") {
		words := strings.Fields(line)
		var err error
		switch words[0] {
		case "write":
			err = os.WriteFile(words[1], []byte(strings.Join(words[2:], " ")), 0o600)
		case "mkdir":
			err = os.MkdirAll(words[1], 0o750)
		case "copy":
			var b []byte
			if b, err = os.ReadFile(words[1]); err == nil {
				err = os.WriteFile(words[2], b, 0o644)
			}
		case "remove":
			err = os.RemoveAll(words[1])
		case "chmod":
			err = os.Chmod(words[1], 0o4755|os.ModeSetuid)
		case "link":
			err = os.Link(words[1], words[2])
		case "symlink":
			err = os.Symlink(words[1], words[2])
		case "touch":
			err = os.Chtimes(words[1], time.Now(), time.Now())
		case "env":
			dir, _ := os.Getwd()
			err = os.WriteFile(words[1], []byte(fmt.Sprintln(dir, os.Getuid(), os.Environ())), 0o644)
		case "say":
			fmt.Println(strings.Join(words[1:], " "))
		case "exit":
			return 3
		case "die":
			err = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

// box returns what commands run in on a rung, over a layer that holds this program
// as its shell, and another of those files, "path=content".
func box(t *testing.T, rung sandbox.Rung, files ...string) step.Tools {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		all, _ := filepath.Glob(dir + "/*/tree")
		if err := rung.Remove(context.Background(), all...); err != nil {
			t.Error(err)
		}
	})
	trees := &rootfs.Store{
		Dir: dir, Owners: rung.Owners, Remove: rung.Remove,
		Do: func(ctx context.Context, task, dir string, in io.Reader, out io.Writer) error {
			return rung.Do(ctx, task, dir, sandbox.TaskContext{In: in, Out: out})
		},
	}
	return step.Tools{
		Below: []v1.Layer{shellLayer(t), fileLayer(t, files)},
		Sandbox: func(context.Context) (*step.Sandbox, error) {
			return &step.Sandbox{Rung: &rung, Trees: trees, Scratch: dir}, nil
		},
	}
}

// rungs returns those that work here.
func rungs(t *testing.T) []sandbox.Rung {
	t.Helper()
	all := slices.DeleteFunc(sandbox.Probe(t.Context(), t.TempDir()), func(r sandbox.Rung) bool { return !r.Works })
	if len(all) == 0 {
		t.Skip("no command can be isolated here")
	}
	return all
}

func shellLayer(t *testing.T) v1.Layer {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Skip("this program needs libraries, which the image doesn't have: CGO_ENABLED=0 runs the test")
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	return tarLayer(t, []tar.Header{{Name: "bin/", Mode: 0o755}, {Name: "bin/sh", Mode: 0o755}}, []string{"", string(b)})
}

func fileLayer(t *testing.T, files []string) v1.Layer {
	t.Helper()
	var headers []tar.Header
	var bodies []string
	for _, f := range files {
		name, body, _ := strings.Cut(f, "=")
		h := tar.Header{Name: name, Mode: 0o644, Uid: 33, Gid: 34}
		if strings.HasPrefix(name, "bin/") {
			h.Mode = 0o755
		}
		if strings.HasPrefix(name, "etc/again") { // a command with one id can't tell another's from a new one in its place
			h.Uid, h.Gid = 0, 0
		}
		if strings.HasSuffix(name, "/") {
			h.Mode = 0o755
		}
		headers, bodies = append(headers, h), append(bodies, body)
	}
	return tarLayer(t, headers, bodies)
}

func tarLayer(t *testing.T, headers []tar.Header, bodies []string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, h := range headers {
		h.Size, h.ModTime = int64(len(bodies[i])), time.Unix(1, 0)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, bodies[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	digest, size, err := v1.SHA256(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	s := layers.Summary{DiffID: digest, Digest: digest, Size: size, MediaType: types.DockerUncompressedLayer}
	return layers.Blob(s, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
}

func runStep(script string) plan.Run {
	return plan.Run{Command: []string{"/bin/sh", "-c", script}, Dir: "/app", Env: []string{"A=1"}, Created: 1e9, Setting: "the_setting"}
}

// TestRunStep packs what a command changed: the same bytes whichever rung it ran
// on.
func TestRunStep(t *testing.T) {
	files := []string{
		"app/", "app/a=1", "app/b=2", "app/old/", "app/old/x=3", "etc/", "etc/same=4", "etc/touched=5", "etc/again/", "etc/again/y=6", "srv/", "srv/other=7",
	}
	const script = "write new text; write /app/a changed; remove b; remove /app/old; mkdir made/deep; write made/deep/f x; link new linked; " +
		"symlink new soft; copy /etc/same /etc/same; touch /etc/touched; remove /etc/again; mkdir /etc/again; write /etc/again/z 8; " +
		"chmod /srv/other; env /opt; write /tmp1 x; remove /tmp1"
	want := []string{
		`dir 0755 1000:1000 app/`, `0644 1000:1000 app/a "changed"`, `gone app/b`, `0600 1000:1000 app/linked "text"`,
		`dir 0750 1000:1000 app/made/`, `dir 0750 1000:1000 app/made/deep/`, `0600 1000:1000 app/made/deep/f "x"`, `same app/new app/linked`,
		`gone app/old`, `link app/soft -> new`,
		`dir 0755 33:34 etc/`, `dir 0750 0:0 etc/again/`, `gone etc/again/y`, `0600 0:0 etc/again/z "8"`,
		`0644 0:0 opt "/app 0 [A=1 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root SOURCE_DATE_EPOCH=1000000000 PYTHONDONTWRITEBYTECODE=1]\n"`,
		`dir 0755 33:34 srv/`, `4755 33:34 srv/other "7"`,
	}
	var first []byte
	for _, rung := range rungs(t) {
		t.Run(rung.Name, func(t *testing.T) {
			r := runStep(script)
			r.Own = []plan.Owner{{Path: "/app", UID: 1000, GID: 1000}}
			var b bytes.Buffer
			if _, err := step.Write(t.Context(), &b, plan.Step{Name: "run", Run: &r}, box(t, rung, files...)); err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = b.Bytes()
			}
			if !bytes.Equal(first, b.Bytes()) {
				t.Error("the layer has other bytes than that of the rung before")
			}
			if diff := cmp.Diff(want, entries(t, b.Bytes())); diff != "" {
				t.Errorf("the layer (-want +got):\n%s", diff)
			}
		})
	}
}

// entries returns a line for each entry of a layer, none of which may be later
// than the step's time.
func entries(t *testing.T, b []byte) (lines []string) {
	t.Helper()
	r, err := layers.Uncompress(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(tr)
		line := fmt.Sprintf("%04o %d:%d %s %q", h.Mode, h.Uid, h.Gid, h.Name, body)
		dir, base := filepath.Split(h.Name)
		switch {
		case strings.HasPrefix(base, ".wh."):
			line = "gone " + dir + strings.TrimPrefix(base, ".wh.")
		case h.Typeflag == tar.TypeDir:
			line = fmt.Sprintf("dir %04o %d:%d %s", h.Mode, h.Uid, h.Gid, h.Name)
		case h.Typeflag == tar.TypeLink:
			line = "same " + h.Name + " " + h.Linkname
		case h.Typeflag == tar.TypeSymlink:
			line = "link " + h.Name + " -> " + h.Linkname
		}
		lines = append(lines, line)
		if h.ModTime.Unix() > 1e9 {
			t.Errorf("%s is of %v", h.Name, h.ModTime)
		}
	}
}

// TestRunFails says what the command said, and leaves nothing.
func TestRunFails(t *testing.T) {
	rung := rungs(t)[0]
	for script, want := range map[string]string{
		"say one; say two; exit": "the_setting `/bin/sh -c say one; say two; exit` ended with status 3\n  one\n  two",
		"die":                    "the_setting `/bin/sh -c die` ended with status 137",
		"write /no/such/place x": "the_setting `/bin/sh -c write /no/such/place x` ended with status 1\n  open /no/such/place: no such file or directory",
	} {
		tools := box(t, rung)
		r := runStep(script)
		_, err := step.Write(t.Context(), io.Discard, plan.Step{Name: "run", Run: &r}, tools)
		var failed *step.CommandError
		if !errors.As(err, &failed) || failed.Error() != want || failed.Hint() == "" {
			t.Errorf("%q gives %v, want %s", script, err, want)
		}
		s, _ := tools.Sandbox(t.Context())
		if left, _ := filepath.Glob(s.Scratch + "/scratch-*"); len(left) > 0 {
			t.Errorf("%q leaves %v", script, left)
		}
	}
}

// TestRunForeign names what needs programs of another machine.
func TestRunForeign(t *testing.T) {
	tools := box(t, rungs(t)[0], "bin/", "bin/other=\x7fELF of another machine")
	s, err := tools.Sandbox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Foreign = "linux/arm64"
	tools.Sandbox = func(context.Context) (*step.Sandbox, error) { return s, nil }
	r := runStep("")
	r.Command = []string{"/bin/other"}
	_, err = step.Write(t.Context(), io.Discard, plan.Step{Name: "run", Run: &r}, tools)
	var foreign *step.ForeignError
	if !errors.As(err, &foreign) || foreign.Setting != "the_setting" || !strings.Contains(foreign.Hint(), "linux/arm64") || !strings.Contains(foreign.Hint(), "the_setting") {
		t.Errorf("the command of another platform gives %v", err)
	}
}

// TestRunNetwork gives the command what it is given, and tells what it was
// refused.
func TestRunNetwork(t *testing.T) {
	tools := box(t, rungs(t)[0])
	s, err := tools.Sandbox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	refused := errors.New("a host was refused")
	s.Network = func(context.Context, []string) (step.Network, error) {
		return step.Network{Env: []string{"HTTP_PROXY=there"}, Refused: func() error { return refused }, Close: func() { closed = true }, Asked: func() []string { return []string{"one", "s3cr3t-t0k3n.example"} }}, nil
	}
	tools.Sandbox = func(context.Context) (*step.Sandbox, error) { return s, nil }
	var b bytes.Buffer
	r := runStep("env /env")
	r.Env = append(r.Env, "http_proxy=elsewhere", "UV_INDEX_URL=elsewhere")
	tools.Secrets = leak.New([]leak.Secret{{Value: "s3cr3t-t0k3n"}})
	var said []string
	tools.Note = func(s string) { said = append(said, s) }
	made, err := step.Write(t.Context(), &b, plan.Step{Name: "run", Run: &r}, tools)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"one", "****.example"}; !slices.Equal(made.Asked, want) || !slices.Equal(said, []string{"the_setting asked one, ****.example"}) || made.Report != nil {
		t.Errorf("what was asked is %q, said %q, in the history %q", made.Asked, said, made.Report)
	}
	if got := strings.Join(entries(t, b.Bytes()), "\n"); !strings.Contains(got, "HTTP_PROXY=there") || strings.Contains(got, "elsewhere") || !closed {
		t.Errorf("the command saw %s, and the network was closed: %v", got, closed)
	}
	r = runStep("exit")
	if _, err := step.Write(t.Context(), io.Discard, plan.Step{Name: "run", Run: &r}, tools); !errors.Is(err, refused) {
		t.Errorf("a command that failed gives %v, want also %v", err, refused)
	}
}

// TestRunExact runs a command as Docker's RUN does: as a user of the image, with
// arguments that no plan holds, and with all that it writes in the layer but what
// is in its caches.
func TestRunExact(t *testing.T) {
	tools := box(t, rungs(t)[0], "etc/", "etc/passwd=app:x:0:7::/home/app:/bin/sh\n", "app/")
	tools.Args = map[string]string{"TOKEN": "t"}
	r := runStep("env /opt; mkdir /home/app/.cache; write /home/app/.cache/x y; write /cache/x y")
	r.Exact, r.User, r.Args, r.Caches = true, "app", []string{"TOKEN"}, []string{"/cache"}
	r.Env = append(r.Env, "PIP_INDEX_URL=own", "HTTP_PROXY=own")
	s, err := tools.Sandbox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var hosts []string
	s.Network = func(_ context.Context, h []string) (step.Network, error) {
		hosts = h
		return step.Network{Env: []string{"HTTP_PROXY=there", "PIP_INDEX_URL=there"}, Refused: func() error { return nil }, Close: func() {}}, nil
	}
	r.Hosts = []string{"deb.example"}
	tools.Sandbox = func(context.Context) (*step.Sandbox, error) { return s, nil }
	var b bytes.Buffer
	if _, err := step.Write(t.Context(), &b, plan.Step{Name: "run", Run: &r}, tools); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"dir 0750 0:7 home/", "dir 0750 0:7 home/app/", "dir 0750 0:7 home/app/.cache/", `0600 0:7 home/app/.cache/x "y"`,
		`0644 0:7 opt "/app 0 [A=1 PIP_INDEX_URL=own TOKEN=t HTTP_PROXY=there PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/home/app SOURCE_DATE_EPOCH=1000000000 PYTHONDONTWRITEBYTECODE=1]\n"`,
	}
	if diff := cmp.Diff(want, entries(t, b.Bytes())); diff != "" {
		t.Errorf("the layer (-want +got):\n%s", diff)
	}
	if !slices.Equal(hosts, r.Hosts) {
		t.Errorf("the network was opened for %v, want %v", hosts, r.Hosts)
	}
	for _, tt := range []struct {
		edit func(*plan.Run)
		want string
	}{
		{func(r *plan.Run) { r.User = "nobody" }, `the_setting is to run as "nobody", and there is no such user or group in the image`},
		{func(r *plan.Run) { r.Args = []string{"OTHER"} }, "the_setting needs the build argument OTHER, and its value is in no plan"},
		{func(r *plan.Run) { r.Secrets = []string{"token"} }, "the_setting reads the secret token, and there is none"},
	} {
		r := r
		tt.edit(&r)
		if _, err := step.Write(t.Context(), io.Discard, plan.Step{Name: "run", Run: &r}, tools); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("the command gives %v, want %s", err, tt.want)
		}
	}
}
