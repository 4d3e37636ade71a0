// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve"
)

// withArguments is a request with these lines below settings.docker, and the
// files in CONTEXT.
func withArguments(t *testing.T, lines string, files map[string]string) (resolve.Request, *answers) {
	t.Helper()
	req, im := request(t, "settings:\n  docker:\n    parent_image: base\n    requirements: [six]\n    python: /usr/bin/python3.11\n"+lines)
	im.files = append(im.files, "usr/bin/python3.11="+minimalELF, "usr/lib/python3.11/os.py=")
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(req.Context, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := &answers{}
	req.Python = a
	return req, a
}

// Arguments of the installer reach it; files that they name are read in CONTEXT,
// and what changes nothing is a warning.
func TestArguments(t *testing.T) {
	req, a := withArguments(t, `    python_package_installer_args:
      no-deps: null
      system: null
      timeout: 5
      torch-backend: cu128
      constraint: bounds.txt
      override: [over.txt]
      extra-index-url: corp=https://u:hunter22@a.example/simple
      index-strategy: unsafe-best-match
`, map[string]string{"bounds.txt": "idna<4\n", "over.txt": "six==1.0\n"})
	var notes []string
	req.Note = func(n string) { notes = append(notes, n) }
	a.Torch = "torch 2.9.0: CPU"
	r, err := resolve.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	got := a.request.Arguments
	var files []string
	for _, l := range append(got.Constraints, got.Overrides...) {
		files = append(files, l.Source+" "+l.Text)
	}
	for _, c := range []struct{ want, got []string }{
		{[]string{"--no-deps"}, got.Flags},
		{[]string{"--index-strategy=unsafe-best-match"}, got.Both},
		{[]string{"UV_HTTP_TIMEOUT=5"}, got.Env},
		{[]string{"cu128"}, []string{got.Torch}},
		{[]string{"bounds.txt idna<4", "over.txt six==1.0"}, files},
		{[]string{"https://a.example/simple"}, a.request.Index.Key()},
		{[]string{"--no-deps", "--index-strategy=unsafe-best-match", "--constraint idna<4", "--override six==1.0", "--torch-backend=cu128"}, r.Locked().Arguments},
		{[]string{
			"warning: python_package_installer_args: `system` has no effect: wheels go where the parent's Python has its packages",
			"note: torch 2.9.0: CPU",
		}, []string{notes[0], notes[len(notes)-1]}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TestLockedFileOptions holds that options of a requirements file are part of what
// a lock file answers.
func TestLockedFileOptions(t *testing.T) {
	req, _ := withArguments(t, "", map[string]string{"some.txt": "--pre\nidna\n--only-binary idna\n"})
	req.Settings.Requirements, req.Settings.RequirementsFile = nil, "some.txt"
	r, err := resolve.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"--pre in some.txt", "--only-binary=idna in some.txt"}, r.Locked().Arguments); diff != "" {
		t.Errorf("the arguments of the lock file (-want +got):\n%s", diff)
	}
}

// What can't be honoured is named with its line.
func TestArgumentsRefused(t *testing.T) {
	tests := []struct{ lines, want, hint string }{
		{"    python_package_installer_args: {no-dep: null}\n", "inlay.yaml:6: settings.docker.python_package_installer_args.no-dep: uv has no such argument, or none that is known here", "did you mean `no-deps`?"},
		{"    python_package_installer: pip\n    python_package_installer_args:\n      resolution: lowest\n", "inlay.yaml:8: settings.docker.python_package_installer_args.resolution: it is an argument of uv, and the installer is pip", "write `python_package_installer: uv`"},
		{"    python_package_installer_args: {constraint: none.txt}\n", "inlay.yaml:6: settings.docker.python_package_installer_args: constraint: there is no file none.txt", "name a file by its path in the context"},
		{"    python_package_installer_args: {constraint: .}\n", "inlay.yaml:6: settings.docker.python_package_installer_args: constraint: . is a directory", "name the file in it"},
		{"    python_package_installer_args: {override: options.txt}\n", "options.txt:1: \"--pre\": options have no place in a file of overrides", "remove the line"},
		{"    python_package_installer_args: {index-url: 'ftp://u:hunter22@a.example'}\n", "inlay.yaml:6: settings.docker.python_package_installer_args.index-url: want an http or https URL", "https://HOST/simple"},
	}
	for _, tt := range tests {
		req, _ := withArguments(t, tt.lines, map[string]string{"options.txt": "--pre\n"})
		_, err := resolve.Resolve(t.Context(), req)
		if err == nil || !strings.HasSuffix(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("Resolve with %q: %v, want %s", tt.lines, err, tt.want)
			continue
		}
		var h interface {
			error
			Hint() string
		}
		if !errors.As(err, &h) || !strings.Contains(h.Hint(), tt.hint) {
			t.Errorf("Resolve with %q: %v, want the hint %q", tt.lines, h, tt.hint)
		}
	}
}
