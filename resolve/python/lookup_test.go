// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/index"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
)

// sixChosen is what uv says of the choice of a wheel of six.
const (
	sixFile   = "six-1.0-py3-none-any.whl"
	sixChosen = "DEBUG Selecting: six==1.0 [compatible] (" + sixFile + ")\nWould install 1 package\n + six==1.0\n"
)

func sixWheel(digest string) plan.Wheel {
	return plan.Wheel{Name: "six", Version: "1.0", File: sixFile, URL: "https://example.com/" + sixFile, Digest: "sha256:" + digest}
}

// lookUps counts the calls that look files up.
func (s *script) lookUps() (n int) {
	for _, c := range s.calls {
		if c[1] == "compile" {
			n++
		}
	}
	return n
}

// What uv said of a file it isn't asked again while its page of the project is
// what it was; anew if that was fetched since, if it is not there, if all is
// refreshed, and if there are more indexes.
func TestLookUpStored(t *testing.T) {
	run := &script{install: said{stderr: sixChosen}, compile: said{stdout: lockOf(sixFile)}}
	r := resolver(t, run)
	page := filepath.Join(r.Dir, "simple-v28", "index", "0a", "six.rkyv")
	if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
		t.Fatal(err)
	}
	one, more := at(t, "https://example.com/simple"), at(t, "https://example.com/simple", "https://example.org/simple")
	for i, step := range []struct {
		name  string
		page  string // what uv has by then; "-" for nothing
		index *index.Set
		edit  func(*python.Request)
		asked int
	}{
		{"without a page", "-", one, nil, 1},
		{"without a page, again", "-", one, nil, 1},
		{"with a page", "1", one, nil, 1},
		{"with the same", "1", one, nil, 0},
		{"offline", "1", one, func(req *python.Request) { req.Offline = true }, 0},
		{"with another", "22", one, nil, 1},
		{"with that again", "22", one, nil, 0},
		{"refreshed", "22", one, func(req *python.Request) { req.Refresh = true }, 1},
		{"after that", "22", one, nil, 0},
		{"told to look otherwise", "22", one, func(req *python.Request) { req.Arguments.Both = []string{"--no-binary=x"} }, 1},
		{"told of a torch", "22", one, func(req *python.Request) { req.Arguments.Torch = "cpu" }, 1},
		{"from more indexes", "22", more, nil, 1},
		{"from these, again", "22", more, nil, 1},
		{"from its own index", "22", nil, nil, 1},
		{"from that, again", "22", nil, nil, 0},
	} {
		if old, err := os.ReadFile(page); step.page == "-" {
			_ = os.Remove(page)
		} else if err != nil || string(old) != step.page {
			if err := os.WriteFile(page, []byte(step.page), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		before := run.lookUps()
		req := python.Request{
			Inventory: pythontest.Debian(), View: view(t, nil), Index: step.index,
			Groups: group(t, "six"+strings.Repeat(" ", i)+">=0."+strings.Repeat("1", i+1)), // a question that has no answer yet
		}
		if step.edit != nil {
			step.edit(&req)
		}
		got, err := r.Resolve(t.Context(), req)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if diff := cmp.Diff([]plan.Wheel{sixWheel(sumA)}, got.Wheels); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
		if n := run.lookUps() - before; n != step.asked {
			t.Errorf("%s: uv was asked %d times where the file is, want %d", step.name, n, step.asked)
		}
	}
}

// A URL with a token is not stored, so it is asked for each time.
func TestLookUpToken(t *testing.T) {
	run := &script{install: said{stderr: sixChosen}, compile: said{stdout: strings.Replace(lockOf(sixFile), sixFile, sixFile+"?token=s3cr3t-s3cr3t", 1)}}
	r := resolver(t, run)
	page := filepath.Join(r.Dir, "simple-v28", "index", "0a", "six.rkyv")
	if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(page, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for i, line := range []string{"six", "six>=0.1"} {
		_, err := r.Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, line), Index: at(t, "https://example.com/simple")})
		if err != nil || run.lookUps() != i+1 {
			t.Errorf("Resolve of %s: %v, and uv was asked %d times in all", line, err, run.lookUps())
		}
	}
	for name, b := range r.Store.(*memory).values {
		if strings.Contains(string(b), "s3cr3t") {
			t.Errorf("%s holds the token: %s", name, b)
		}
	}
}

// What the index said in the session counts more than what is stored, uv is
// asked for the rest only, and what is wrong with a file is said all the same.
func TestLookUpListed(t *testing.T) {
	run := &script{
		install: said{stderr: "DEBUG Selecting: idna==3.4 [compatible] (idna-3.4-py3-none-any.whl)\n" + strings.Replace(sixChosen, "1 package\n", "2 packages\n + idna==3.4\n", 1)},
		compile: said{stdout: strings.NewReplacer("six", "idna", "1.0", "3.4").Replace(lockOf(sixFile))},
	}
	w := &walls{script: run, listed: map[string]python.Listed{sixFile: {URL: "https://example.com/" + sixFile, SHA256: sumB}}}
	r := resolver(t, &script{})
	r.Isolation = w
	req := python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "six", "idna"), Index: at(t, "https://example.com/simple")}
	got, err := r.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	idna := plan.Wheel{Name: "idna", Version: "3.4", File: "idna-3.4-py3-none-any.whl", URL: "https://example.com/idna-3.4-py3-none-any.whl", Digest: "sha256:" + sumA}
	if diff := cmp.Diff([]plan.Wheel{idna, sixWheel(sumB)}, got.Wheels); diff != "" {
		t.Errorf("Resolve (-want +got):\n%s", diff)
	}
	if !slices.Contains(run.input, "idna==3.4\n") {
		t.Errorf("uv was asked %q, want for idna alone", run.input)
	}
	req.Groups = group(t, "six --hash=sha256:"+sumA, "idna --hash=sha256:"+sumA)
	if _, err := r.Resolve(t.Context(), req); err == nil || !strings.Contains(err.Error(), "its requirement allows only sha256:"+sumA) {
		t.Errorf("with other hashes: %v", err)
	}
}
