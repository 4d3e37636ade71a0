// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/zip"
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/plan"
)

// TestMain makes the test's own binary a program that burns processor time, for
// TestMeasure.
func TestMain(m *testing.M) {
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
| cold | inlay | 2.00 | 2.00 | 1.0 | 7 | 1.5 |
| cold, wheels downloaded | inlay | 2.00 | 2.00 | 1.0 | 7 | 1.5 |
| no change | inlay | 2.00 | 2.00 | 1.0 | 7 | 1.5 |
| one source file | inlay | 2.00 | 2.00 | 1.0 | 7 | 1.5 |
|  | crane append | 2.00 | 4.00 | 2.0 | 7 | 1.5 |
| one requirement bumped | inlay | 2.00 | 2.00 | 1.0 | 7 | 1.5 |
| one requirement added | inlay | 2.00 | 2.00 | 1.0 | 7 | 1.5 |
| parent changed | inlay | 2.00 | 2.00 | 1.0 | 7 | 1.5 |
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("the table (-want +got):\n%s", diff)
	}
}

// The index lists a package's files with their hashes, each once, and has no
// page for what it doesn't know.
func TestIndex(t *testing.T) {
	x := newIndex(t.TempDir())
	defer x.server.Close()
	w := plan.Wheel{Name: "six", File: "six-1.0-py3-none-any.whl", Digest: "sha256:00ff"}
	x.offer(w)
	x.offer(w)
	if err := os.WriteFile(filepath.Join(x.store.Dir, "00ff"), []byte("wheel"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, want string }{
		{"/simple/six/", "200 <a href=\"/files/00ff/six-1.0-py3-none-any.whl#sha256=00ff\">six-1.0-py3-none-any.whl</a>\n"},
		{"/files/00ff/six-1.0-py3-none-any.whl", "200 wheel"},
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
