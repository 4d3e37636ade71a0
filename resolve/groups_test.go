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
)

// locals is a Python of this machine that says how it was asked.
type locals struct {
	text  string
	asked pyproject.Local
}

func (l *locals) Local(_ context.Context, asked pyproject.Local) (string, error) {
	l.asked = asked
	return l.text, nil
}

// TestOrderOfGroups holds that requirements are installed in the order of
// spec/zenml.md section 2.4, and which of them there are.
func TestOrderOfGroups(t *testing.T) {
	tests := []struct {
		name, settings string
		groups         []resolve.Group
		want           []string
	}{
		{
			"all", "replicate_local_python_environment: true, pyproject_path: pyproject.toml, requirements: [six]",
			[]resolve.Group{{Name: "the stack", Requirements: []string{"boto3"}}, {Name: "integrations", Requirements: []string{"torch"}}},
			[]string{"the packages of this machine's Python: attrs", "the stack: boto3", "integrations: torch", "the export of pyproject.toml: idna==3.10", "requirements: six"},
		},
		{"one that is empty", "requirements: [six]", []resolve.Group{{Name: "the stack"}}, []string{"requirements: six"}},
		{
			"nothing is detected beside what the machine has", "replicate_local_python_environment: [pip, freeze], disable_automatic_requirements_detection: false",
			nil,
			[]string{"the packages of this machine's Python: attrs"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, im := request(t, "settings: {docker: {parent_image: base, python: /usr/bin/python3.11, "+tt.settings+"}}")
			im.files = append(im.files, "usr/bin/python3.11="+minimalELF, "usr/lib/python3.11/os.py=")
			for _, name := range []string{"pyproject.toml", "requirements.txt"} {
				if err := os.WriteFile(filepath.Join(req.Context, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			answer, local := &answers{}, &locals{text: "attrs\n"}
			req.Python, req.Projects, req.Locals, req.Groups = answer, &exports{text: "idna==3.10\n"}, local, tt.groups
			r, err := resolve.Resolve(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			var got, locked []string
			for _, g := range answer.got {
				got = append(got, g.Name+": "+g.Lines[0].Text)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("the groups (-want +got):\n%s", diff)
			}
			for _, g := range r.Locked().Groups {
				locked = append(locked, g.Name+": "+g.Requirements[0])
			}
			if diff := cmp.Diff(tt.want, locked); diff != "" {
				t.Errorf("the locked groups (-want +got):\n%s", diff)
			}
			if local.asked.Way+strings.Join(local.asked.Command, " ") != "" && local.asked.Dir != req.Context {
				t.Errorf("the machine's Python was asked in %q, want %q", local.asked.Dir, req.Context)
			}
		})
	}
}

// TestLocalOfAnotherKind holds that what can't be installed is refused by its
// line, with a way out.
func TestLocalOfAnotherKind(t *testing.T) {
	req, _ := request(t, "settings: {docker: {parent_image: base, replicate_local_python_environment: true}}")
	req.Locals = &locals{text: "six\n-e hg+https://me:hunter2@host/x@abc#egg=x\n"}
	_, err := resolve.Resolve(t.Context(), req)
	var bad *python.RequirementError
	if !errors.As(err, &bad) || bad.Line != 2 || !strings.Contains(bad.Hint(), "--exclude-editable") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Resolve = %v, want a *RequirementError of line 2 without the password", err)
	}
}
