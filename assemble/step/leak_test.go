// SPDX-License-Identifier: Apache-2.0

package step_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/deb"
	"inlay/assemble/deb/debtest"
	"inlay/assemble/step"
	"inlay/layers"
	"inlay/layers/leak"
	"inlay/resolve/plan"
)

// A secret in a file of a new layer is found, whichever way the file gets into
// it: from the source, compressed anew, or with a wheel's own stream.
func TestLeaks(t *testing.T) {
	dir := t.TempDir()
	const password = "s3cr3t-passw0rd"
	padding := strings.Repeat("padding ", 4000)
	scheme := plan.Scheme{Purelib: "/usr/lib", Platlib: "/usr/lib", Scripts: "/usr/bin", Data: "/usr", Headers: "/usr/include", Interpreter: "/usr/bin/python3", Version: "3.11"}
	python := func(files ...string) plan.Step {
		return plan.Step{Name: "a 1.0", Python: &plan.Python{Scheme: scheme, Wheels: []plan.Wheel{makeWheel(t, dir, "a", files...)}}}
	}
	data := padding + password + padding
	tests := []struct {
		name string
		step func() plan.Step
		want string
	}{
		{"a source file", func() plan.Step {
			return plan.Step{Name: "source", Files: &plan.Files{Target: "/app", Files: []plan.File{
				{Path: "conf", Mode: fs.ModeDir | 0o755},
				{Path: "conf/pip.conf", Mode: 0o644, Size: int64(len(data)), Digest: digest(data)},
			}}}
		}, `the password or token of corp is in /app/conf/pip.conf of layer "source"`},
		{"a small file of a wheel", func() plan.Step { return python("a.py=x = '" + password + "'") }, `the password or token of corp is in /usr/lib/a.py of layer "a 1.0"`},
		{"a large file of a wheel", func() plan.Step { return python("a.py=" + padding + password) }, `the password or token of corp is in /usr/lib/a.py of layer "a 1.0"`},
		{"nothing", func() plan.Step { return python("a.py=" + padding) }, ""},
	}
	tools := step.Tools{
		Context: fstest.MapFS{"conf/pip.conf": {Data: []byte(data)}},
		Wheel:   func(_ context.Context, w plan.Wheel) (*os.File, error) { return os.Open(filepath.Join(dir, w.File)) },
	}
	for _, tt := range tests {
		s := tt.step()
		tools.Secrets = leak.New([]leak.Secret{{User: "ann", Value: password, Of: "corp"}})
		var searched bytes.Buffer
		_, err := step.Write(t.Context(), &searched, s, tools)
		var found *leak.Error
		if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &found) || err.Error() != tt.want) {
			t.Errorf("%s: Write = %v, want %q", tt.name, err, tt.want)
		}
		tools.Secrets = nil
		var plain bytes.Buffer
		if _, err := step.Write(t.Context(), &plain, s, tools); err != nil {
			t.Errorf("%s, without secrets: %v", tt.name, err)
		}
		if tt.want == "" && !cmp.Equal(searched.Bytes(), plain.Bytes()) {
			t.Errorf("%s: that it is searched changes the layer", tt.name)
		}
	}
}

// So is one in a Debian package.
func TestLeakInPackage(t *testing.T) {
	const password = "s3cr3t-passw0rd"
	ix, err := layers.Scan(t.Context(), bytes.NewReader(debtest.Tar([]debtest.File{{Name: "var/"}, {Name: "var/lib/"}, {Name: "var/lib/dpkg/"}, {Name: "var/lib/dpkg/info/"}, {Name: "var/lib/dpkg/status"}})), step.Keep)
	if err != nil {
		t.Fatal(err)
	}
	raw := debtest.Deb{Name: "a", Files: []debtest.File{{Name: "./"}, {Name: "./etc/"}, {Name: "./etc/a.conf", Body: "token=" + password}}}.Bytes()
	file := filepath.Join(t.TempDir(), "a.deb")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	tools := step.Tools{
		Debs:    deb.NewStore(t.TempDir(), 2),
		Parent:  func(context.Context) (*layers.View, error) { return layers.Stack(ix) },
		Deb:     func(context.Context, plan.Deb) (*os.File, error) { return os.Open(file) },
		Secrets: leak.New([]leak.Secret{{User: "ann", Value: password, Of: "corp"}}),
	}
	s := plan.Step{Name: "apt: a 1", Apt: &plan.Apt{Scripts: "native", Debs: []plan.Deb{{Name: "a", Version: "1", Arch: "all", File: "a.deb", Digest: digest(string(raw))}}}}
	_, err = step.Write(t.Context(), &bytes.Buffer{}, s, tools)
	var found *leak.Error
	if want := `the password or token of corp is in /etc/a.conf of layer "apt: a 1"`; !errors.As(err, &found) || err.Error() != want {
		t.Errorf("Write = %v, want %s", err, want)
	}
}
