// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/zip"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"inlay/resolve/plan"
)

// TestMain makes the test's own binary a program that burns processor time, for
// TestMeasure, and a daemon that does so for a client that has ended.
func TestMain(m *testing.M) {
	if pipe := os.Getenv("BENCH_DAEMON"); pipe != "" {
		if _, err := os.ReadFile(pipe); err != nil { // until the client ends
			panic(err)
		}
		for begin := ownCPU(); ownCPU() < begin+300*time.Millisecond; {
		}
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	if os.Getenv("BENCH_BURN") != "" {
		block := bytes.Repeat([]byte{1}, 64<<20) // resident, since it is written
		for begin, i := time.Now(), 0; time.Since(begin) < 300*time.Millisecond; i++ {
			block[i%len(block)]++
		}
		return
	}
	os.Exit(m.Run())
}

// A command's figures are its own: its time at least what it burns, its memory
// at least what it fills.
func TestMeasure(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it reads /proc, which only Linux has")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "BENCH_BURN=1")
	u, err := measure(t.Context(), cmd, 0)
	if err != nil {
		t.Fatal(err)
	}
	if u.wall < 300*time.Millisecond || u.cpu <= 0 || u.cpu > u.wall*time.Duration(runtime.NumCPU()) || u.peak < 64<<20 {
		t.Errorf("measure = %+v, want at least 300 ms and 64 MiB, and no more CPU time than there was", u)
	}
}

func ownCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// What the daemon does when its client has ended is the command's too, but for
// the time on the clock.
func TestMeasureDaemon(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it reads /proc, which only Linux has")
	}
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := exec.CommandContext(t.Context(), os.Args[0])
	daemon.Env = append(os.Environ(), "BENCH_DAEMON="+pipe)
	stop, err := daemon.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer daemon.Wait()
	defer stop.Close()
	begin := time.Now()
	u, err := measure(t.Context(), exec.CommandContext(t.Context(), "sh", "-c", `exec >"$0"`, pipe), daemon.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if u.cpu < 300*time.Millisecond-idle || u.cpu > time.Second {
		t.Errorf("measure finds %v of CPU time, want the 300 ms that the daemon takes when the client has ended", u.cpu)
	}
	if all := time.Since(begin); u.wall > all-still {
		t.Errorf("measure finds %v on the clock of %v, %v of which it waits for the daemon", u.wall, all, still)
	}
}

// The memory of a child that isn't another program yet is its parent's.
func TestSameMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it reads /proc, which only Linux has")
	}
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	own, err := stat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	child, err := stat(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if sameMemory(own, child) || !sameMemory(own, own) {
		t.Errorf("sameMemory of another program = %v, of the same memory = %v", sameMemory(own, child), sameMemory(own, own))
	}
}

// A command that fails is an error that holds what it said.
func TestMeasureFails(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it reads /proc, which only Linux has")
	}
	_, err := measure(t.Context(), exec.CommandContext(t.Context(), "sh", "-c", "echo why >&2; exit 3"), 0)
	if err == nil || !strings.Contains(err.Error(), "exit status 3\nwhy") {
		t.Errorf("measure of a failing command: %v, want its exit status and output", err)
	}
}

// The table gives medians, and ratios to the first tool; a tool has no row for
// what it can't do.
func TestTable(t *testing.T) {
	seconds := func(cpu ...int) (all []usage) {
		for _, s := range cpu {
			all = append(all, usage{wall: 2 * time.Second, cpu: time.Duration(s) * time.Second, peak: 7e6, pushed: 15e5})
		}
		return all
	}
	r := results{"inlay": {}, "crane append": {}}
	for _, s := range scenarios {
		r["inlay"][s.name] = seconds(9, 1, 2)
	}
	r["crane append"]["one source file"] = seconds(4)
	var got bytes.Buffer
	r.write(&got, []tool{&inlay{}, &crane{}})
	want := `| build | with | wall s | CPU s | CPU, as a multiple | peak MB | pushed MB |
|---|---|--:|--:|--:|--:|--:|
| cold | inlay | 2.00 | 2.000 | 1.0 | 7 | 1.5 |
| cold, wheels downloaded | inlay | 2.00 | 2.000 | 1.0 | 7 | 1.5 |
| no change | inlay | 2.00 | 2.000 | 1.0 | 7 | 1.5 |
| one source file | inlay | 2.00 | 2.000 | 1.0 | 7 | 1.5 |
|  | crane append | 2.00 | 4.000 | 2.0 | 7 | 1.5 |
| one requirement bumped | inlay | 2.00 | 2.000 | 1.0 | 7 | 1.5 |
| one requirement added | inlay | 2.00 | 2.000 | 1.0 | 7 | 1.5 |
| parent changed | inlay | 2.00 | 2.000 | 1.0 | 7 | 1.5 |
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("the table (-want +got):\n%s", diff)
	}
}

// The index lists a package's files with their hashes, each once, has the METADATA
// of each beside it, and no page for what it doesn't know. What may be kept it
// says, and doesn't send again.
func TestIndex(t *testing.T) {
	x := newIndex(t.TempDir())
	defer x.server.Close()
	w := plan.Wheel{Name: "six", File: "six-1.0-py3-none-any.whl", Digest: "sha256:00ff", Size: 7}
	x.offer(w)
	x.offer(w)
	var wheel bytes.Buffer
	z := zip.NewWriter(&wheel)
	for _, name := range []string{"six.dist-info/x/METADATA", "six-1.0.dist-info/METADATA"} {
		m, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(m, "of "+name)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(x.store.Dir, "00ff"), wheel.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, want string }{
		{"/simple/six/", "200 <a href=\"/files/00ff/six-1.0-py3-none-any.whl#sha256=00ff\" data-core-metadata=\"true\">six-1.0-py3-none-any.whl</a>\n"},
		{"/files/00ff/six-1.0-py3-none-any.whl", "200 " + wheel.String()},
		{"/files/00ff/six-1.0-py3-none-any.whl.metadata", "200 of six-1.0.dist-info/METADATA"},
		{"/simple/seven/", "404 404 page not found\n"},
	} {
		resp, err := http.Get(x.server.URL + tt.path) //nolint:noctx // loopback
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := strconv.Itoa(resp.StatusCode) + " " + string(body); err != nil || got != tt.want {
			t.Errorf("GET %s: %q, %v, want %q", tt.path, got, err, tt.want)
		}
		if kept := resp.Header.Get("Cache-Control"); resp.StatusCode == http.StatusOK && !strings.HasPrefix(kept, "max-age=") {
			t.Errorf("GET %s: may be kept: %q", tt.path, kept)
		}
	}
	page, err := http.NewRequestWithContext(t.Context(), http.MethodGet, x.server.URL+"/simple/six/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{http.StatusOK, http.StatusNotModified} {
		resp, err := http.DefaultClient.Do(page)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("GET of a page: %v, %v, want %d", resp, err, want)
		}
		resp.Body.Close()
		page.Header.Set("If-None-Match", resp.Header.Get("ETag"))
	}
	page.Header = http.Header{"Accept": {"application/vnd.pypi.simple.v1+json, text/html;q=0.1"}}
	resp, err := http.DefaultClient.Do(page)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	const want = `{"files":[{"filename":"six-1.0-py3-none-any.whl","url":"/files/00ff/six-1.0-py3-none-any.whl","hashes":{"sha256":"00ff"},"size":7,"core-metadata":true}],` +
		`"meta":{"api-version":"1.1"},"name":"six","versions":[]}`
	if string(body) != want || err != nil {
		t.Errorf("as JSON the page is %s, %v, want %s", body, err, want)
	}
}

// Each change of a workload is one: of one line, or of one line more.
func TestWorkloads(t *testing.T) {
	for _, w := range workloads {
		changed := 0
		for i, r := range w.bumped() {
			if r != w.requirements[i] {
				changed++
			}
		}
		if changed != 1 || len(w.added()) != len(w.requirements)+1 {
			t.Errorf("%s: %d lines bumped, %d added, want one each", w.name, changed, len(w.added())-len(w.requirements))
		}
	}
}

// Every way to compress makes something that is smaller than the files, and all
// of them see the same files.
func TestRecompress(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.whl")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	e, err := z.Create("x.py")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Write(bytes.Repeat([]byte("print('hello')\n"), 10_000)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range compressors {
		var out strings.Builder
		if err := recompress(c.name, strings.NewReader(file+"\n"), &out); err != nil {
			t.Fatal(err)
		}
		if n, err := strconv.Atoi(out.String()); err != nil || n < 20 || n > 10_000 {
			t.Errorf("%s makes %s bytes of 150000, want between 20 and 10000", c.name, out.String())
		}
	}
}

// The table of packages gives the figures of a scenario together, and ratios of
// time and processor time to its first tool.
func TestFigures(t *testing.T) {
	var f figures
	u := func(wall, cpu int) usage {
		return usage{wall: time.Duration(wall) * time.Second, cpu: time.Duration(cpu) * time.Second, peak: 7e6}
	}
	for _, wall := range []int{9, 2, 3} {
		f.add("cold", "inlay", u(wall, 1))
		f.add("no change", "inlay", u(1, 1))
		f.add("cold", "apt-get", u(2*wall, 4))
	}
	var got bytes.Buffer
	f.write(&got)
	want := `| build | with | wall s | wall, as a multiple | CPU s | CPU, as a multiple | peak MB |
|---|---|--:|--:|--:|--:|--:|
| cold | inlay | 3.00 | 1.0 | 1.00 | 1.0 | 7 |
|  | apt-get | 6.00 | 2.0 | 4.00 | 4.0 | 7 |
| no change | inlay | 1.00 | 1.0 | 1.00 | 1.0 | 7 |
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("the table (-want +got):\n%s", diff)
	}
}

// A workload that isn't there is an error that names those that are.
func TestUnknownWorkload(t *testing.T) {
	err := run(t.Context(), []string{"-dir", t.TempDir(), "-workloads", "apd"})
	if err == nil || err.Error() != `no workload "apd": there are web, data, torch, apt, bootstrap` {
		t.Errorf("the error is %v", err)
	}
}

// The suite's archives are found among all that apt has, each with its suites.
func TestArchives(t *testing.T) {
	urls, suites := archives(`bookworm http://example.com/debian/
bookworm http://example.com/debian/
bookworm-updates http://example.com/debian/
bookworm-backports http://example.com/debian/
bookworm-security http://example.com/debian-security/
bookworm copy:/srv/debian/
trixie http://example.com/next/
`, "bookworm")
	if diff := cmp.Diff(map[string]string{"debian": "http://example.com/debian", "debian-security": "http://example.com/debian-security"}, urls); diff != "" {
		t.Errorf("the archives (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string][]string{"debian": {"bookworm", "bookworm-updates"}, "debian-security": {"bookworm-security"}}, suites); diff != "" {
		t.Errorf("the suites (-want +got):\n%s", diff)
	}
}

// The mirror asks for each file once, also for one that isn't there, keeps
// packages apart from indexes, and serves nothing else.
func TestMirror(t *testing.T) {
	asked := map[string]int{}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++
		if strings.HasSuffix(r.URL.Path, "/missing") {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, "content")
	}))
	defer upstream.Close()
	m := &mirror{packages: t.TempDir(), indexes: t.TempDir(), archives: map[string]string{"debian": upstream.URL + "/x"}}
	server := httptest.NewServer(m)
	defer server.Close()
	for range 2 {
		for path, want := range map[string]int{
			"/debian/pool/a.deb": 200, "/debian/dists/Release": 200, "/debian/missing": 404, "/other/pool/a.deb": 404, "/debian/../../etc/passwd": 404,
		} {
			resp, err := http.Get(server.URL + path) //nolint:noctx // loopback
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("GET %s: %s, want %d", path, resp.Status, want)
			}
		}
	}
	if diff := cmp.Diff(map[string]int{"/x/pool/a.deb": 1, "/x/dists/Release": 1, "/x/missing": 1}, asked); diff != "" {
		t.Errorf("what the archive was asked for (-want +got):\n%s", diff)
	}
	for _, file := range []string{m.packages + "/debian/pool/a.deb", m.indexes + "/debian/dists/Release"} {
		if b, err := os.ReadFile(file); err != nil || string(b) != "content" {
			t.Errorf("%s holds %q, %v", file, b, err)
		}
	}
	if n := m.fetched.Load(); n != 2 {
		t.Errorf("it says that %d files came from the archive, want 2", n)
	}
}
