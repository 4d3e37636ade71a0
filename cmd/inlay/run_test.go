// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"inlay/resolve/sandbox"
)

// inside names the variable that makes this program the one of an image.
const inside = "INLAY_TEST_INSIDE"

// insideMain is what the program of an image does: what its arguments say, one
// after the other.
func insideMain(args []string) int {
	if len(args) == 2 && args[0] == "-c" {
		args = strings.Fields(args[1])
	}
	for _, arg := range args {
		what, value, _ := strings.Cut(arg, "=")
		switch what {
		case "show":
			dir, _ := os.Getwd()
			fmt.Println(os.Getuid(), os.Getgid(), dir, os.Getenv(value))
		case "cat":
			b, err := os.ReadFile(value)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 9
			}
			os.Stdout.Write(b)
		case "write":
			if err := os.WriteFile(value, []byte("written\n"), 0o600); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 9
			}
		case "copy":
			from, to, _ := strings.Cut(value, ":")
			b, err := os.ReadFile(from)
			if err != nil || os.WriteFile(to, b, 0o644) != nil {
				return 9
			}
		case "perm":
			name, want, _ := strings.Cut(value, ":")
			if info, err := os.Stat(name); err != nil || fmt.Sprintf("%04o", info.Mode().Perm()) != want {
				return 9
			}
		case "owner":
			info, err := os.Stat(value)
			if err != nil {
				return 9
			}
			fmt.Println(info.Sys().(*syscall.Stat_t).Uid)
		case "connect": // through the proxy
			c, err := net.Dial("tcp", strings.TrimPrefix(os.Getenv("HTTPS_PROXY"), "http://"))
			if err != nil {
				return 9
			}
			fmt.Fprintf(c, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", value)
			line, _ := bufio.NewReader(c).ReadString('\n')
			if !strings.Contains(line, " 200 ") {
				fmt.Println(line)
				return 9
			}
		case "echo":
			io.Copy(os.Stdout, os.Stdin)
		case "exit":
			n := 0
			fmt.Sscan(value, &n)
			return n
		case "die":
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			time.Sleep(time.Minute)
		case "wait":
			c := make(chan os.Signal, 1)
			signal.Notify(c, syscall.SIGUSR1)
			fmt.Println("ready")
			fmt.Println(<-c)
		case "serve":
			l, err := net.Listen("tcp", value)
			if err != nil {
				return 9
			}
			fmt.Println("ready")
			c, err := l.Accept()
			if err != nil {
				return 9
			}
			io.WriteString(c, "served")
			c.Close()
		}
	}
	return 0
}

// insideImage makes an image of this program and returns its name.
func insideImage(t *testing.T, change func(*v1.Config)) string {
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
	img, err := mutate.AppendLayers(empty.Image, insideLayer(t, self))
	if err != nil {
		t.Fatal(err)
	}
	config := v1.Config{Env: []string{inside + "=1", "NAME=value"}, Entrypoint: []string{"/bin/program"}, Cmd: []string{"show=NAME"}, WorkingDir: "/etc"}
	if change != nil {
		change(&config)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", runtime.GOARCH, config
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	return "oci:" + dir
}

// insideLayer returns a layer with this program.
func insideLayer(t *testing.T, self string) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, f := range []struct {
		name, body string
		mode       int64
	}{
		{"bin/", "", 0o755},
		{"bin/program", read(t, self), 0o755},
		{"bin/sh", "", 0o755}, // the same: as a shell it does what the words of its script say
		{"etc/", "", 0o755},
		{"etc/passwd", "root:x:0:0::/root:\nweb:x:33:33::/srv:\n", 0o644},
		{"etc/odd", "no program", 0o644},
	} {
		h := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.body))}
		if f.name == "bin/sh" {
			h.Typeflag, h.Linkname = tar.TypeLink, "bin/program"
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }, tarball.WithCompressionLevel(1))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A lockedBuffer can be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestRun runs an image, by the rules of docker run.
func TestRun(t *testing.T) {
	t.Setenv("INLAY_CACHE_DIR", t.TempDir())
	t.Setenv("HERE", "from here")
	if _, err := sandbox.Choose(t.Context(), t.TempDir(), ""); err != nil {
		t.Skip(err)
	}
	image := insideImage(t, nil)
	shared := t.TempDir()
	write(t, filepath.Join(shared, "f"), "shared\n")
	for _, tt := range []struct {
		name   string
		args   []string // IMAGE stands for the image
		stdout string
		stderr string // part of it
		status int
	}{
		{"as it is", []string{"IMAGE"}, "0 0 /etc value\n", "", 0},
		{"command", []string{"IMAGE", "--", "exit=3"}, "", "", 3},
		{"command without dashes, with flags of its own", []string{"IMAGE", "exit=4", "--env", "-x"}, "", "", 4},
		{"flags behind the image", []string{"IMAGE", "-w", "/srv", "-e", "NAME=x,y", "--", "show=NAME"}, "0 0 /srv x,y\n", "", 0},
		{"user", []string{"-u", "web", "IMAGE", "show=HOME"}, "33 33 /etc /srv\n", "", 0},
		{"variable of here", []string{"-e", "HERE", "IMAGE", "show=HERE"}, "0 0 /etc from here\n", "", 0},
		{"entrypoint", []string{"--entrypoint", "program", "IMAGE", "show=PATH"}, "0 0 /etc /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n", "", 0},
		{"no entrypoint", []string{"--entrypoint", "", "IMAGE", "/bin/program", "exit=6"}, "", "", 6},
		{"killed", []string{"IMAGE", "die"}, "", "", 137},
		{"no program", []string{"--entrypoint", "nothing", "IMAGE"}, "", "starting nothing in the sandbox", 127},
		{"not executable", []string{"--entrypoint", "/etc/odd", "IMAGE"}, "", "permission denied", 126},
		{"no input", []string{"IMAGE", "echo"}, "", "", 0},
		{"what it writes is gone", []string{"IMAGE", "write=/etc/new", "cat=/etc/new"}, "written\n", "", 0},
		{"and was", []string{"IMAGE", "cat=/etc/new"}, "", "no such file", 9},
		{"volume", []string{"-v", shared + ":/data", "IMAGE", "cat=/data/f", "write=/data/g"}, "shared\n", "", 0},
		{"read-only volume", []string{"-v", shared + ":/data:ro", "IMAGE", "cat=/data/g", "write=/data/h"}, "written\n", "read-only file system", 9},
		{"host of its own", []string{"--network", "none", "IMAGE", "cat=/etc/resolv.conf"}, "", "", 0},
		{"no image", []string{"oci:" + shared}, "", "it is no OCI layout", 125},
		{"no terminal", []string{"-it", "IMAGE"}, "", "standard input is no terminal", 125},
		{"nothing", nil, "", "run takes an IMAGE", 125},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"inlay", "run", "-q"}
			for _, a := range tt.args {
				args = append(args, strings.Replace(a, "IMAGE", image, 1))
			}
			var stdout, stderr bytes.Buffer
			status := run(t.Context(), args, &stdout, &stderr)
			if status != tt.status || stdout.String() != tt.stdout || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("%q = %d, %q, %q, want %d, %q, %q", args, status, stdout.String(), stderr.String(), tt.status, tt.stdout, tt.stderr)
			}
		})
	}
	t.Run("signal", func(t *testing.T) { testSignal(t, image) })
	t.Run("port", func(t *testing.T) { testPort(t, image) })
	var out bytes.Buffer
	if status := run(t.Context(), []string{"inlay", "cache", "verify"}, &out, &out); status != 0 {
		t.Errorf("after it the cache is not whole: %s", out.String())
	}
	left, err := filepath.Glob(filepath.Join(os.Getenv("INLAY_CACHE_DIR"), "trees", "scratch-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("runs left %v, %v", left, err)
	}
}

// await waits until out says so.
func await(t *testing.T, out *lockedBuffer, says string) {
	t.Helper()
	for range 3000 {
		if strings.Contains(out.String(), says) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%q never says %q", out, says)
}

func testSignal(t *testing.T, image string) {
	var out lockedBuffer
	ended := make(chan int)
	go func() { ended <- run(t.Context(), []string{"inlay", "run", "-q", image, "wait", "exit=5"}, &out, &out) }()
	await(t, &out, "ready")
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if status := <-ended; status != 5 || out.String() != "ready\nuser defined signal 1\n" {
		t.Errorf("a signal gave %d, %q", status, out.String())
	}
}

func testPort(t *testing.T, image string) {
	var out, said lockedBuffer
	ended := make(chan int)
	args := []string{"inlay", "run", "--progress", "plain", "--network", "none", "-p", "127.0.0.1:0:8080", image, "serve=127.0.0.1:8080"}
	go func() { ended <- run(t.Context(), args, &out, &said) }()
	await(t, &out, "ready")
	_, rest, _ := strings.Cut(said.String(), "listening at ")
	address, _, _ := strings.Cut(rest, " ")
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if string(b) != "served" || err != nil {
		t.Errorf("the port gives %q, %v", b, err)
	}
	if status := <-ended; status != 0 {
		t.Errorf("the server ended with %d: %s", status, said.String())
	}
}

// TestProject installs the source by a command, and runs the image.
func TestProject(t *testing.T) {
	t.Setenv("INLAY_CACHE_DIR", t.TempDir())
	rung, err := sandbox.Choose(t.Context(), t.TempDir(), "")
	if err != nil {
		t.Skip(err)
	}
	root := "0"
	if rung.OneID() { // whoever looks is the one there is
		root = "1000"
	}
	parent := insideImage(t, func(c *v1.Config) { c.Entrypoint, c.Cmd = nil, nil })
	settings := "settings:\n  docker:\n    parent_image: " + parent + "\n    user: \"1000\"\n    environment: {EARLY: word}\n    local_project_install_command: "
	dir := project(t, settings+"cat=a.txt show=EARLY write=/app/made write=/opt\n", map[string]string{"a.txt": "source\n"})
	out := "oci:" + filepath.Join(t.TempDir(), "image")
	inlay := func(status int, args ...string) (stdout, stderr string) {
		t.Helper()
		var o, e bytes.Buffer
		if got := run(t.Context(), append([]string{"inlay"}, args...), &o, &e); got != status {
			t.Fatalf("%q = %d, want %d: %s%s", args, got, status, o.String(), e.String())
		}
		return o.String(), e.String()
	}
	const runs = "runs in the sandbox: /bin/sh -c 'cat=a.txt show=EARLY write=/app/made write=/opt', in /app, for local_project_install_command\n"
	if plan, _ := inlay(0, "plan", dir); !strings.Contains(plan, "make  local_project_install_command") || !strings.Contains(plan, runs) {
		t.Errorf("the plan is %s, want that the command is run", plan)
	}
	first, _ := inlay(0, "build", "-q", "-o", out, dir)
	if got, _ := inlay(0, "run", "-q", out, "--", "/bin/program", "cat=/app/made", "owner=/app/made", "owner=/opt", "show=EARLY"); got != "written\n1000\n"+root+"\n1000 0 /app word\n" {
		t.Errorf("the image prints %q", got)
	}
	if plan, _ := inlay(0, "plan", dir); !strings.Contains(plan, "reuse  local_project_install_command") {
		t.Errorf("after the build the plan is %s, want that the layer is used again", plan)
	}
	if again, said := inlay(0, "build", "-o", out, dir); again != first || !strings.Contains(said, "0 made, 2 reused") {
		t.Errorf("the second build gives %s, %s, want %s of the same layers", again, said, first)
	}
	write(t, filepath.Join(dir, "a.txt"), "changed\n")
	if plan, _ := inlay(0, "plan", dir); !strings.Contains(plan, "a layer below it changed") {
		t.Errorf("with another source the plan is %s, want that the command is run again", plan)
	}
	write(t, filepath.Join(dir, "inlay.yaml"), settings+"cat=a.txt exit=4\n")
	_, said := inlay(1, "build", "-q", "-o", out, dir)
	if want := "making layer \"local_project_install_command\": local_project_install_command `/bin/sh -c cat=a.txt exit=4` ended with status 4\n  changed\n"; !strings.Contains(said, want) {
		t.Errorf("a command that fails gives %q, want %q", said, want)
	}
	_, said = inlay(1, "build", "-q", "--sandbox", "subids", "-o", out, dir)
	if os.Geteuid() == 0 && !strings.Contains(said, `running local_project_install_command: the sandbox "subids" does not work on this machine`) {
		t.Errorf("without a sandbox it says %q", said)
	}
	address := serve(t, func(http.ResponseWriter, *http.Request) {})
	write(t, filepath.Join(dir, "inlay.yaml"), settings+"connect="+address+"\n")
	network := []string{"build", "--index-url", "http://127.0.0.1:9/simple", "-o", out, dir}
	if _, said = inlay(1, network...); !strings.Contains(said, "403 Forbidden") || !strings.Contains(said, "--allow-host "+address) {
		t.Errorf("a command that is refused a host gives %q", said)
	}
	if _, said = inlay(0, append(network, "--allow-host", address)...); !strings.Contains(said, "local_project_install_command asked "+address+" (CONNECT, 1×, ") {
		t.Errorf("the build doesn't say what was asked: %s", said)
	}
	inlay(0, append(network, "--label", "again=yes")...)
	for i, id := range strings.Fields(strings.TrimSpace(ids(t)))[:2] { // the layer's command, and the layer used again
		if shown, _ := inlay(0, "builds", "show", id); !strings.Contains(shown, "    asked  "+address+" (CONNECT, 1×, ") {
			t.Errorf("of build %d is shown %s", i, shown)
		}
	}
}

// ids returns the builds that there are, the newest first.
func ids(t *testing.T) string {
	t.Helper()
	var o, e bytes.Buffer
	if got := run(t.Context(), []string{"inlay", "builds", "list", "--format", "json"}, &o, &e); got != 0 {
		t.Fatal(e.String())
	}
	var all []struct{ ID string }
	if err := json.Unmarshal(o.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, b := range all {
		ids = append(ids, b.ID)
	}
	return strings.Join(ids, " ")
}
