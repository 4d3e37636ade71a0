// SPDX-License-Identifier: Apache-2.0

package pyproject_test

import (
	"context"
	"errors"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/pyproject"
)

// TestLocal holds which command each way of ZenML's runs, and which follows
// where that fails.
func TestLocal(t *testing.T) {
	tests := []struct {
		name  string
		local pyproject.Local
		say   map[string]said
		want  string
		calls []string
	}{
		{"pip", pyproject.Local{Way: "pip_freeze"}, map[string]said{"pip freeze": {stdout: "six==1\n"}}, "six==1\n", []string{"/bin/pip freeze"}},
		{
			"pip as a module",
			pyproject.Local{Way: "pip_freeze"},
			map[string]said{"/bin/pip freeze": {exit: 1}, "-m pip freeze": {stdout: "six==2\n"}},
			"six==2\n",
			[]string{"/bin/pip freeze", "/bin/python3 -m pip freeze"},
		},
		{"uv", pyproject.Local{Way: "uv_freeze"}, map[string]said{"pip freeze": {stdout: "six==3\n"}}, "six==3\n", []string{"/own/uv pip freeze"}},
		{"poetry", pyproject.Local{Way: "poetry_export"}, map[string]said{"export": {stdout: "six==4\n"}}, "six==4\n", []string{"/bin/poetry export --format=requirements.txt"}},
		{"a command", pyproject.Local{Command: []string{"pip", "list", "|", "cat"}}, map[string]said{"sh": {stdout: "six\n"}}, "six\n", []string{"/bin/sh -c pip list | cat"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run := &programs{say: tt.say}
			e := exporter(run)
			e.UV = func(context.Context) (string, error) { return "/own/uv", nil }
			e.LookPath = func(name string) (string, error) { return "/bin/" + name, nil }
			got, err := e.Local(t.Context(), tt.local)
			if err != nil || got != tt.want {
				t.Errorf("Local = %q, %v, want %q", got, err, tt.want)
			}
			if diff := cmp.Diff(tt.calls, run.calls); diff != "" {
				t.Errorf("the commands (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLocalFails holds that an error says what was tried and what came of it,
// without credentials.
func TestLocalFails(t *testing.T) {
	e := exporter(&programs{say: map[string]said{"python3": {exit: 1, stderr: "No module named pip"}}})
	e.LookPath = func(name string) (string, error) {
		if name == "pip" {
			return "", exec.ErrNotFound
		}
		return "/bin/" + name, nil
	}
	e.Secrets = []string{"hunter2"}
	e.UV = func(context.Context) (string, error) { return "", errors.New("no uv") }
	tests := []struct {
		local pyproject.Local
		want  string
	}{
		{pyproject.Local{Way: "pip_freeze"}, "the packages of this machine's Python can't be listed\n  `pip freeze`: pip is not on the PATH\n  `python3 -m pip freeze` exits 1\n    No module named pip"},
		{pyproject.Local{Way: "uv_freeze"}, "the packages of this machine's Python can't be listed\n  `uv pip freeze`: no uv"},
		{pyproject.Local{Command: []string{"list", "hunter2"}}, "the packages of this machine's Python can't be listed\n  `list ****`: running /bin/sh: no such program"},
	}
	for _, tt := range tests {
		_, err := e.Local(t.Context(), tt.local)
		var failed *pyproject.LocalError
		if !errors.As(err, &failed) || err.Error() != tt.want || failed.Hint() == "" {
			t.Errorf("Local(%+v) = %v, want %s", tt.local, err, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Local(ctx, pyproject.Local{Way: "pip_freeze"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Local when cancelled = %v, want that it was", err)
	}
}
