// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/settings"
)

// refuses is a resolver that refuses a requirement.
type refuses struct{ python.RequirementError }

func (r *refuses) Sources(context.Context, []python.Group) (map[string]string, error) {
	return nil, nil
}

func (r *refuses) Resolve(context.Context, python.Request) (*python.Resolution, error) {
	return nil, &r.RequirementError
}

// A requirement that the settings list is named by its line there, one of a
// file by its line in that.
func TestRefusedRequirement(t *testing.T) {
	const yaml = `settings:
  docker:
    parent_image: base
    python: /usr/bin/python3.11
    requirements:
      - six
      - idna=2
`
	tests := []struct {
		name string
		err  python.RequirementError
		want string
	}{
		{
			"listed",
			python.RequirementError{Source: "requirements", Line: 2, Text: "idna=2", Problem: "no such operator", Fix: "write =="},
			`inlay.yaml:7: settings.docker.requirements[1]: "idna=2": no such operator`,
		},
		{
			"in a file",
			python.RequirementError{Source: "r.txt", Line: 2, Text: "idna=2", Problem: "no such operator", Fix: "write =="},
			`resolving requirements: r.txt:2: "idna=2": no such operator`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, im := request(t, yaml)
			im.files = append(im.files, "usr/bin/python3.11="+minimalELF, "usr/lib/python3.11/os.py=")
			req.Python = &refuses{tt.err}
			_, err := resolve.Resolve(t.Context(), req)
			var hint interface {
				error
				Hint() string
			}
			if !errors.As(err, &hint) || err.Error() != tt.want || hint.Hint() != "write ==" {
				t.Errorf("Resolve = %v, want %s and the hint", err, tt.want)
			}
		})
	}
}

func TestRequirementsOfADirectory(t *testing.T) {
	req, _ := request(t, "settings: {docker: {parent_image: base, requirements: reqs}}")
	if err := os.Mkdir(filepath.Join(req.Context, "reqs"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := resolve.Resolve(t.Context(), req)
	var field *settings.FieldError
	if !errors.As(err, &field) || field.Problem != "reqs is a directory" {
		t.Errorf("Resolve = %v, want that reqs is a directory", err)
	}
}

// An engine makes a working directory that isn't there, but as root's: the
// user's own is part of the image, also without source.
func TestEmptySourceOfAUser(t *testing.T) {
	req, _ := request(t, "settings: {docker: {parent_image: base, user: alice}}")
	req.Source = fstest.MapFS{".": {Mode: fs.ModeDir | 0o755}}
	r, err := resolve.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	want := []plan.Step{{Name: "source", Files: &plan.Files{
		Base:   plan.Base{Links: []plan.Link{{Path: "/app", Target: "/srv/app"}}},
		Target: "/app", Mode: 0o666, UID: 1000, GID: 100, Files: []plan.File{},
	}}}
	if diff := cmp.Diff(want, r.Plan.Image().Steps); diff != "" {
		t.Errorf("the steps (-want +got):\n%s", diff)
	}
}
