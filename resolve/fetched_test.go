// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve"
	"inlay/resolve/code"
	"inlay/resolve/plan"
)

// fetching is a request for an image that fetches its source from a store.
func fetching(t *testing.T, fields string) (resolve.Request, *images) {
	t.Helper()
	req, im := request(t, "settings:\n  docker: {parent_image: base, python: /usr/bin/python3.11, "+fields+"}\n")
	im.files = append(im.files, "usr/bin/python3.11="+minimalELF, "usr/lib/python3.11/os.py=")
	req.Code = resolve.Code{Way: code.Store, Store: "file:///store", Files: func(context.Context) ([]string, error) { return nil, fs.ErrNotExist }}
	return req, im
}

// TestUpload holds what an upload of the source holds: what git lists, else what
// .gitignore leaves; no ignore file of the image has a part in it.
func TestUpload(t *testing.T) {
	source := fstest.MapFS{
		"main.py": {Data: []byte("1"), Mode: 0o644}, "run.sh": {Mode: 0o755}, "a/b c.py": {Data: []byte("2"), Mode: 0o600}, "link": {Data: []byte("main.py"), Mode: fs.ModeSymlink | 0o777},
		"x.log": {}, "a/.zen/config": {}, ".zen/config": {}, ".git/HEAD": {}, "out/index.json": {}, "inlay.lock": {}, "empty": {Mode: fs.ModeDir | 0o755},
	}
	list := func(names ...string) func(context.Context) ([]string, error) {
		return func(context.Context) ([]string, error) { return names, nil }
	}
	for _, tt := range []struct {
		name   string
		files  func(context.Context) ([]string, error)
		ignore string // what .gitignore says
		want   string
		note   string
	}{
		{"what git lists", list("a/b c.py", "gone.py", "link", "main.py", "nested", "run.sh"), "*.py", "a/b c.py 644, link, main.py 644, run.sh 755", ""},
		{"another repository in it", list("a", "main.py"), "", "main.py 644", `"a" is left out: it is a repository of its own`},
		{"no checkout", nil, "*.log\n/a/\n", "link, main.py 644, run.sh 755", ""},
		{"no checkout and no .gitignore", nil, "", "a/b c.py 644, link, main.py 644, run.sh 755, x.log 644", ""},
		{"a git that fails", func(context.Context) ([]string, error) { return nil, errors.New("dubious ownership") }, "*.py", "link, run.sh 755, x.log 644", "warning: all files of the source are uploaded but for those that its .gitignore names: dubious ownership"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, _ := fetching(t, "")
			req.Source, req.Written, req.Own, req.Created = source, []string{"out"}, []string{"inlay.lock"}, 7
			if tt.files != nil {
				req.Code.Files = tt.files
			}
			for name, text := range map[string]string{".gitignore": tt.ignore, ".dockerignore": "main.py\nrun.sh\n"} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(req.Context, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var notes []string
			req.Note = func(s string) { notes = append(notes, s) }
			r, err := resolve.Resolve(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			c := r.Plan.Code
			if c == nil || c.Store != "file:///store" || c.Target != "/app" || c.Files.Target != "/" || c.Files.ModTime != 315532800 {
				t.Fatalf("the plan's code is %+v", c)
			}
			if got := names(c.Files.Files); got != tt.want {
				t.Errorf("it uploads %s, want %s", got, tt.want)
			}
			if tt.note != "" && !slices.Contains(notes, tt.note) {
				t.Errorf("it says %q, want %q", notes, tt.note)
			}
		})
	}
}

// names lists files with the modes of those that have one.
func names(files []plan.File) string {
	var all []string
	for _, f := range files {
		if f.Mode.IsRegular() {
			f.Path += fmt.Sprintf(" %o", f.Mode)
		}
		all = append(all, f.Path)
	}
	return strings.Join(all, ", ")
}

// TestFetching holds that what fetches the source stands before the entrypoint
// and changes nothing else of what runs, that it gets a directory that everybody
// may write to, and that the source has no part in the image.
func TestFetching(t *testing.T) {
	fetch := []string{"/usr/bin/python3.11", "-I", "/usr/local/lib/inlay/fetch.py", "/app"}
	for _, tt := range []struct {
		name, fields    string
		entrypoint, cmd []string // the parent's
		wantEntrypoint  []string
		wantCmd         []string
	}{
		{"the parent's command", "", nil, []string{"python3"}, nil, []string{"python3"}},
		{"the parent's entrypoint", "", []string{"init", "--"}, []string{"python3"}, []string{"init", "--"}, []string{"python3"}},
		{"a command", "cmd: [a]", []string{"init"}, []string{"python3"}, []string{"init"}, []string{"a"}},
		{"an entrypoint", "entrypoint: [b]", []string{"init"}, []string{"python3"}, []string{"b"}, nil},
		{"both", "entrypoint: [b], cmd: [a]", []string{"init"}, []string{"python3"}, []string{"b"}, []string{"a"}},
		{"no entrypoint", "entrypoint: [], cmd: [a]", []string{"init"}, nil, nil, []string{"a"}},
		{"nothing", "", nil, nil, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, im := fetching(t, tt.fields)
			im.entrypoint, im.cmd = tt.entrypoint, tt.cmd
			first, err := resolve.Resolve(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			c := first.Plan.Image().Config
			if diff := cmp.Diff(append(slices.Clone(fetch), tt.wantEntrypoint...), c.Entrypoint); diff != "" {
				t.Errorf("the entrypoint (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.wantCmd, c.Cmd); diff != "" {
				t.Errorf("the command (-want +got):\n%s", diff)
			}
			steps := first.Plan.Image().Steps
			if f := steps[len(steps)-1].Files; f == nil || f.Target != "/app" || len(f.Files) > 0 || f.Mode != 0o666 {
				t.Errorf("the last step is %+v, want the directory of the source", steps[len(steps)-1])
			}
			req.Source = fstest.MapFS{"main.py": {Data: []byte("changed"), Mode: 0o644}}
			second, err := resolve.Resolve(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if first.Plan.Digest(first.Plan.Keys()) != second.Plan.Digest(second.Plan.Keys()) || cmp.Equal(first.Plan.Code, second.Plan.Code) {
				t.Error("the source has a part in the image, or none in what is uploaded")
			}
		})
	}
}
