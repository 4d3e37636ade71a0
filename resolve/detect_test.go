// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve"
	"inlay/resolve/pyproject"
	"inlay/resolve/python"
	"inlay/resolve/python/reqfile"
)

// exports is an exporter that says which project it was asked for.
type exports struct {
	text  string
	asked pyproject.Project
}

func (e *exports) Export(_ context.Context, _ string, p pyproject.Project, _ pyproject.Options) (string, error) {
	e.asked = p
	return e.text, nil
}

// What the settings ask for, of a source that holds these files.
func TestWhereRequirementsComeFrom(t *testing.T) {
	group := func(name, text string) python.Group {
		g, err := reqfile.Reader{}.Text(name, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	listed, file := group("requirements", "six"), group("requirements.txt", "attrs")
	project := group("the export of pyproject.toml", "idna==3.10")
	warning := func(file, field string) []string {
		return []string{"warning: the requirements of " + file + " are not installed: name it in `" + field +
			"`, or write `disable_automatic_requirements_detection: true` if that is meant"}
	}
	tests := []struct {
		name, settings string
		files          []string
		want           []python.Group
		notes          []string
	}{
		{"a list", "requirements: [six]", []string{"requirements.txt", "pyproject.toml"}, []python.Group{listed}, nil},
		{"a project and then a list", "pyproject_path: pyproject.toml, requirements: [six]", []string{"pyproject.toml"}, []python.Group{project, listed}, nil},
		{"not asked: a file", "", []string{"requirements.txt", "pyproject.toml"}, nil, warning("requirements.txt", "requirements")},
		{"not asked: a project", "", []string{"pyproject.toml"}, nil, warning("pyproject.toml", "pyproject_path")},
		{"not wanted", "disable_automatic_requirements_detection: true", []string{"requirements.txt"}, nil, nil},
		{
			"detected: the file first", "disable_automatic_requirements_detection: false",
			[]string{"requirements.txt", "pyproject.toml"},
			[]python.Group{file},
			[]string{"the requirements are those of requirements.txt"},
		},
		{
			"detected: the project", "disable_automatic_requirements_detection: false, pyproject_export_command: [x]",
			[]string{"pyproject.toml"},
			[]python.Group{project},
			[]string{"the requirements are those of pyproject.toml"},
		},
		{"detected: nothing", "disable_automatic_requirements_detection: false", nil, nil, nil},
		{"detected: but something is named", "disable_automatic_requirements_detection: false, requirements: [six]", []string{"requirements.txt"}, []python.Group{listed}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, im := request(t, "settings: {docker: {parent_image: base, python: /usr/bin/python3.11, "+tt.settings+"}}")
			im.files = append(im.files, "usr/bin/python3.11="+minimalELF, "usr/lib/python3.11/os.py=")
			for _, f := range tt.files {
				if err := os.WriteFile(filepath.Join(req.Context, f), []byte("attrs\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var notes []string
			req.Note = func(s string) {
				if !strings.HasPrefix(s, "note: ") {
					notes = append(notes, s)
				}
			}
			answer, export := &answers{}, &exports{text: "idna==3.10\n"}
			req.Python, req.Projects = answer, export
			if _, err := resolve.Resolve(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, answer.got); diff != "" {
				t.Errorf("the groups (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.notes, notes); diff != "" {
				t.Errorf("the notes (-want +got):\n%s", diff)
			}
			if export.asked.File != "" && (export.asked.File != filepath.Join(req.Context, "pyproject.toml") || export.asked.Dir != req.Context) {
				t.Errorf("the project exported is %+v", export.asked)
			}
		})
	}
}

func TestMissingProject(t *testing.T) {
	for setting, want := range map[string]string{
		"lost.toml": "inlay.yaml:1: settings.docker.pyproject_path: there is no file lost.toml",
		"dir":       "inlay.yaml:1: settings.docker.pyproject_path: dir is a directory",
	} {
		req, _ := request(t, "settings: {docker: {parent_image: base, pyproject_path: "+setting+"}}")
		if err := os.MkdirAll(filepath.Join(req.Context, "dir"), 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := resolve.Resolve(t.Context(), req)
		var hint interface{ Hint() string }
		if err == nil || err.Error() != want || !errors.As(err, &hint) || hint.Hint() == "" {
			t.Errorf("Resolve with %s = %v, want %s and a hint", setting, err, want)
		}
	}
}

// What a command prints is not shown with its credentials.
func TestExportOfSomethingElse(t *testing.T) {
	req, _ := request(t, "settings: {docker: {parent_image: base, pyproject_path: pyproject.toml}}")
	if err := os.WriteFile(filepath.Join(req.Context, "pyproject.toml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	req.Projects = &exports{text: "six\n-e ./member @ https://me:hunter2@host/x\n"}
	_, err := resolve.Resolve(t.Context(), req)
	var bad *python.RequirementError
	if !errors.As(err, &bad) || bad.Source != "the export of pyproject.toml" || bad.Line != 2 || !strings.Contains(bad.Hint(), "--no-emit-workspace") {
		t.Errorf("Resolve = %v, want a *RequirementError", err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the password is in %v", err)
	}
}
