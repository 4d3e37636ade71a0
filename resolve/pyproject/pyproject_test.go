// SPDX-License-Identifier: Apache-2.0

package pyproject_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/pyproject"
	"inlay/resolve/python"
)

// memory is a Store.
type memory map[string][]byte

func (m memory) Get(name string) ([]byte, error) {
	if b, ok := m[name]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

func (m memory) Put(name string, b []byte) error {
	m[name] = b
	return nil
}

// said is what a program says.
type said struct {
	exit           int
	stdout, stderr string
}

// programs is a Runner of programs that say always the same, by the words of
// their command that tell them apart.
type programs struct {
	say   map[string]said
	calls []string
}

func (p *programs) Run(_ context.Context, c python.Command) (int, error) {
	line := c.Path + " " + strings.Join(c.Args, " ")
	p.calls = append(p.calls, line)
	for words, s := range p.say {
		if strings.Contains(line, words) {
			_, _ = io.WriteString(c.Stdout, s.stdout)
			_, _ = io.WriteString(c.Stderr, s.stderr)
			return s.exit, nil
		}
	}
	return 0, fmt.Errorf("running %s: no such program", c.Path)
}

// demo writes a project and returns it.
func demo(t *testing.T, files ...string) pyproject.Project {
	t.Helper()
	dir := t.TempDir()
	for _, f := range append(files, "pyproject.toml") {
		put(t, filepath.Join(dir, f), "# "+f)
	}
	return pyproject.Project{File: filepath.Join(dir, "pyproject.toml"), Dir: dir}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func exporter(run python.Runner) *pyproject.Exporter {
	return &pyproject.Exporter{
		UV:       func(context.Context) (string, error) { return "/bin/uv", nil },
		LookPath: func(name string) (string, error) { return "/bin/" + name, nil },
		Runner:   run,
		Env:      []string{"PATH=/usr/bin:/bin"},
		Store:    memory{},
	}
}

const exported = `idna==3.10 ; python_version >= '3.9' \
    --hash=sha256:946d195a0d259cbba61165e88e65941f16e9b36ea6ddb97f00452bae8b1287d3
six==1.17.0
`

const stale = "error: The lockfile at `uv.lock` needs to be updated, but `--locked` was provided.\n\nhint: To update the lockfile, run `uv lock`.\n"

// The first command that exits 0 is the one that counts.
func TestExport(t *testing.T) {
	uv := "/bin/uv export --quiet --format=requirements-txt --directory=DIR --no-emit-project --no-dev --no-header --no-annotate --locked"
	poetry := "/bin/poetry export --format=requirements.txt --directory=DIR"
	tests := []struct {
		name  string
		say   map[string]said
		calls []string
		note  string
	}{
		{"uv", map[string]said{"uv export": {stdout: exported}}, []string{uv}, ""},
		{
			"poetry where uv has no lock", map[string]said{
				"uv export":     {exit: 2, stderr: "error: Unable to find lockfile"},
				"poetry export": {stdout: exported, stderr: "Warning: deprecated"},
			}, []string{uv, poetry}, "",
		},
		{
			"uv on a machine without Python",
			map[string]said{
				"--locked": {exit: 2, stderr: "error: No interpreter found for Python >=3.9 in search path"},
				"--frozen": {stdout: exported},
			},
			[]string{uv, strings.Replace(uv, "--locked", "--frozen", 1)},
			"note: uv.lock is used without comparing it with its project: that takes a Python on this machine",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, run := demo(t), &programs{say: tt.say}
			e, note := exporter(run), ""
			e.Note = func(s string) { note += s }
			text, err := e.Export(t.Context(), "pyproject.toml", p, pyproject.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(exported, text); diff != "" {
				t.Errorf("the requirements (-want +got):\n%s", diff)
			}
			for i := range run.calls {
				run.calls[i] = strings.ReplaceAll(run.calls[i], p.Dir, "DIR")
			}
			if diff := cmp.Diff(tt.calls, run.calls); diff != "" || note != tt.note {
				t.Errorf("it notes %q and runs (-want +got):\n%s", note, diff)
			}
		})
	}
}

// A command of the settings is a line for the shell, in the context.
func TestCommand(t *testing.T) {
	p := demo(t)
	p.Dir = filepath.Join(p.Dir, "the context")
	p.File = filepath.Join(p.Dir, "it's here", "pyproject.toml")
	put(t, p.File, "")
	put(t, filepath.Join(filepath.Dir(p.File), "deps"), exported)
	put(t, filepath.Join(p.Dir, "more"), "attrs\n")
	p.Command = []string{"cat", "{directory}/deps", "more", "|", "grep", "-v", "six;", "exit 0"}
	text, err := exporter(python.Exec{}).Export(t.Context(), "p", p, pyproject.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Replace(exported, "six==1.17.0", "attrs", 1), text); diff != "" {
		t.Errorf("the requirements (-want +got):\n%s", diff)
	}
}

// What no command exports is one error with all that was tried.
func TestErrors(t *testing.T) {
	tests := []struct {
		name    string
		say     map[string]said
		missing bool // poetry
		want    []string
		hint    string
	}{
		{
			"a stale lock and no poetry",
			map[string]said{"uv export": {exit: 1, stderr: stale}},
			true,
			[]string{
				"no command exports pyproject.toml",
				"`uv export --quiet", "` exits 1",
				"    error: The lockfile at `uv.lock` needs to be updated, but `--locked` was provided.\n    hint: To update the lockfile, run `uv lock`.",
				"poetry is not on the PATH",
			},
			"run `uv lock --directory DIR`",
		},
		{
			"poetry without its plugin",
			map[string]said{
				"uv export":     {exit: 2, stderr: "error: no `project` table"},
				"poetry export": {exit: 1, stderr: "\nThe requested command export does not exist."},
			},
			false,
			[]string{"no `project` table", "`poetry export --format=requirements.txt", "command export does not exist"},
			"run `poetry self add poetry-plugin-export`",
		},
		{
			"programs that can't be run", nil, false,
			[]string{"running /bin/uv: no such program", "running /bin/poetry: no such program"},
			"name the command that exports it in `pyproject_export_command`, or a file of requirements in `requirements`",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, e := demo(t, "poetry.lock"), exporter(&programs{say: tt.say})
			if tt.missing {
				e.LookPath = func(string) (string, error) { return "", exec.ErrNotFound }
			}
			_, err := e.Export(t.Context(), "pyproject.toml", p, pyproject.Options{})
			var failed *pyproject.ExportError
			if !errors.As(err, &failed) {
				t.Fatalf("Export = %v, want an *ExportError", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Export = %v, want %q in it", err, want)
				}
			}
			if got := strings.ReplaceAll(failed.Hint(), p.Dir, "DIR"); got != tt.hint {
				t.Errorf("the hint is %q, want %q", got, tt.hint)
			}
		})
	}
}

// A failing command of the settings is shown with its end of stderr, and no
// credentials.
func TestFailingCommand(t *testing.T) {
	p := demo(t)
	p.Command = []string{"seq 1 100000 >&2; echo hunter%404, at https://me:hunter2@host/simple?token=hunter3 >&2; exit 3"}
	e := exporter(python.Exec{})
	e.Secrets = []string{"hunter@4"}
	_, err := e.Export(t.Context(), "pyproject.toml", p, pyproject.Options{})
	var failed *pyproject.ExportError
	if !errors.As(err, &failed) || failed.Attempts[0].Exit != 3 || !strings.HasSuffix(failed.Error(), "    ****, at https://****@host/simple?****") {
		t.Fatalf("Export = %v", err)
	}
	if len(failed.Error()) > 20<<10 || !strings.Contains(failed.Error(), "\n    99999\n") {
		t.Errorf("the error is of %d bytes, want the last lines and no more", len(failed.Error()))
	}
	if strings.Contains(fmt.Sprint(failed), "hunter") {
		t.Errorf("a password is in %v", failed)
	}
	if want := "run it yourself until it prints requirements, or remove `pyproject_export_command`"; failed.Hint() != want {
		t.Errorf("the hint is %q, want %q", failed.Hint(), want)
	}
}

// Output without end is refused while it comes.
func TestEndlessOutput(t *testing.T) {
	p := demo(t)
	p.Command = []string{"yes"}
	_, err := exporter(python.Exec{}).Export(t.Context(), "pyproject.toml", p, pyproject.Options{})
	if err == nil || !strings.Contains(err.Error(), "it prints more than 64 MiB") {
		t.Errorf("Export = %.300v, want that it prints too much", err)
	}
}

// Answers of the default commands are remembered until what they depend on
// changes; secrets and what a command of the settings says are not.
func TestRemembered(t *testing.T) {
	p := demo(t, "uv.lock")
	run := &programs{say: map[string]said{"uv export": {stdout: exported}}}
	e := exporter(run)
	ask := func(o pyproject.Options) {
		t.Helper()
		if _, err := e.Export(t.Context(), "pyproject.toml", p, o); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		what string
		do   func()
		want int // calls so far
	}{
		{"the first time", func() { ask(pyproject.Options{}) }, 1},
		{"again", func() { ask(pyproject.Options{}) }, 1},
		{"refreshed", func() { ask(pyproject.Options{Refresh: true}) }, 2},
		{"another lock", func() { put(t, filepath.Join(p.Dir, "uv.lock"), "new"); ask(pyproject.Options{}) }, 3},
		{"another project", func() { put(t, p.File, "new"); ask(pyproject.Options{}) }, 4},
		{"another poetry.lock", func() { put(t, filepath.Join(p.Dir, "poetry.lock"), "new"); ask(pyproject.Options{}) }, 5},
		{"all of them again", func() { ask(pyproject.Options{Offline: true}) }, 5},
	} {
		if step.do(); len(run.calls) != step.want {
			t.Errorf("%s: %d calls, want %d", step.what, len(run.calls), step.want)
		}
	}
	e.Store = memory{}
	run.say["uv export"] = said{stdout: "six @ https://host/six-1-py3-none-any.whl?sig=hunter2\n"}
	ask(pyproject.Options{Offline: true})
	if n := len(e.Store.(memory)); n != 0 {
		t.Errorf("an export with a secret is stored: %v", e.Store)
	}
	if last := run.calls[len(run.calls)-1]; !strings.HasSuffix(last, " --offline") {
		t.Errorf("offline it runs %s", last)
	}
	p.Command = []string{"echo six"}
	e.Runner = python.Exec{}
	ask(pyproject.Options{})
	if n := len(e.Store.(memory)); n != 0 {
		t.Errorf("what a command of the settings prints is stored: %v", e.Store)
	}
}

// Sum changes with each input, also the lock of a workspace above the project,
// and with nothing else.
func TestSum(t *testing.T) {
	p := demo(t)
	root := p.Dir
	p.File = filepath.Join(root, "member", "pyproject.toml")
	seen := map[string]string{}
	for _, file := range []string{"member/pyproject.toml", "member/poetry.lock", "uv.lock", "pyproject.toml", "member/uv.lock"} {
		put(t, filepath.Join(root, file), file)
		put(t, filepath.Join(root, "unrelated"), file)
		sum, err := p.Sum()
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := seen[sum]; ok {
			t.Errorf("%s gives the digest of %s", file, before)
		}
		seen[sum] = file
	}
	p.Command = []string{"pdm"}
	if sum, err := p.Sum(); err != nil || seen[sum] != "" || !strings.HasPrefix(sum, "sha256:") {
		t.Errorf("another command gives %s, %v", sum, err)
	}
}

func TestCheck(t *testing.T) {
	p := demo(t)
	if err := p.Check(); err != nil {
		t.Errorf("Check = %v", err)
	}
	p.File = p.Dir
	var dir *pyproject.DirectoryError
	if err := p.Check(); !errors.As(err, &dir) {
		t.Errorf("Check of a directory = %v", err)
	}
	p.File = filepath.Join(p.Dir, "none")
	if err := p.Check(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Check of no file = %v", err)
	}
}
