// SPDX-License-Identifier: Apache-2.0

package wheel_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/wheel"
)

// TestNames opens wheels whose file name, .dist-info directory and METADATA
// give the same name and version in different spellings.
func TestNames(t *testing.T) {
	tests := []struct {
		file, info, name, version string
		want                      string // "" if they are not the same
	}{
		{"demo-1.0-py3-none-any.whl", "demo-1.0", "demo", "1.0", "demo 1.0"},
		{"demo-1.0-1-py3-none-any.whl", "demo-1.0", "demo", "1.0", "demo 1.0"},
		{"demo-1.0-1build_2-py2.py3-none-any.whl", "demo-1.0", "demo", "1.0", "demo 1.0"},
		{"Demo.App_x-1.0-py3-none-any.whl", "demo_app_x-1.0", "Demo-App.X", "1.0", "demo-app-x 1.0"},
		{"demo-1.0-py3-none-any.whl", "DEMO-1.0", "DEMO", "1.0", "demo 1.0"},
		{"demo-1.0-py3-none-any.whl", "demo", "demo", "1.0", "demo 1.0"},
		{"demo-1.0-py3-none-any.whl", "demo-1.0.0", "demo", "1", "demo 1"},
		{"demo-1.0.0-py3-none-any.whl", "demo-1.0", "demo", "v1.0", "demo v1.0"},
		{"demo-1.0rc1-py3-none-any.whl", "demo-1.0rc1", "demo", "1.0-preview.01", "demo 1.0-preview.01"},
		{"demo-1.0.post2.dev3-py3-none-any.whl", "demo-1.0", "demo", "1.0-2.DEV3", "demo 1.0-2.DEV3"},
		{"demo-1.0a0-py3-none-any.whl", "demo-1.0", "demo", "1.0alpha", "demo 1.0alpha"},
		{"demo-1!1.0-py3-none-any.whl", "demo-1.0", "demo", "01!1", "demo 01!1"},
		{"demo-1.0+cu118-py3-none-any.whl", "demo-1.0+cu118", "demo", "1.0+cu118", "demo 1.0+cu118"},
		{"demo-1.0+cu118-py3-none-any.whl", "demo-1.0", "demo", "1.0", "demo 1.0"},
		{"demo-1.0+ubuntu_01-py3-none-any.whl", "demo-1.0", "demo", "1.0+Ubuntu.1", "demo 1.0+Ubuntu.1"},
		{"demo-1.0-py3-none-any.whl", "demo-1.0", "demo", "1.0+cu118", ""},
		{"demo-1.0-py3-none-any.whl", "demo-1.0", "demo", "1!1.0", ""},
		{"demo-1.0-py3-none-any.whl", "demo-1.0", "demo", "1.0.post0", ""},
		{"demo-1.0-py3-none-any.whl", "demo-1.0", "demo", "1.0.dev0", ""},
		{"demo-1.0b1-py3-none-any.whl", "demo-1.0", "demo", "1.0rc1", ""},
		{"demo-1.0-py3-none-any.whl", "demo-1.0", "demo", "", ""},
		{"demo-1.0-py3-none-any.whl", "demo-1.0", "demo", "one", ""},
		{"demo-1.0-py3-none-any.whl", "demo-1.0", "demos", "1.0", ""},
		{"demo-1.10-py3-none-any.whl", "demo-1.10", "demo", "1.1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.file+" "+tt.version, func(t *testing.T) {
			b := zipOf([]part{
				{name: tt.info + ".dist-info/METADATA", body: fmt.Sprintf("Name: %s\nVersion: %s\n", tt.name, tt.version)},
				{name: tt.info + ".dist-info/WHEEL", body: format},
				{name: tt.info + ".dist-info/RECORD"},
				{name: tt.info + ".data/headers/x.h"},
			}, ending{})
			w, err := wheel.Open(bytes.NewReader(b), int64(len(b)), tt.file, scheme)
			got := ""
			if err == nil {
				got = w.Name + " " + w.Version
				if want := "/usr/include/python3.11/" + w.Name + "/x.h"; w.Files[0].Path != want {
					t.Errorf("the header is installed as %s, want %s", w.Files[0].Path, want)
				}
			}
			if got != tt.want {
				t.Errorf("Open = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// TestFileNames refuses names that are no wheel's, before anything is read.
func TestFileNames(t *testing.T) {
	tests := []struct{ file, problem string }{
		{"", "the file's name is not a wheel's"},
		{"demo-1.0.tar.gz", "the file's name is not a wheel's"},
		{"demo-1.0-py3-none-any.zip", "the file's name is not a wheel's"},
		{"demo-1.0-py3-none.whl", "the file's name is not a wheel's"},
		{"demo-1.0-1-py3-none-any-x.whl", "the file's name is not a wheel's"},
		{"de/mo-1.0-py3-none-any.whl", "the file's name has no valid project name"},
		{"demo.-1.0-py3-none-any.whl", "the file's name has no valid project name"},
		{"-1.0-py3-none-any.whl", "the file's name has no valid project name"},
		{"demo-x-py3-none-any.whl", "the file's name has no valid version"},
		{"demo--py3-none-any.whl", "the file's name has no valid version"},
		{"demo-1.0%2Bcpu-py3-none-any.whl", "the file's name has no valid version"},
		{"demo-1.0-py3-none-any-cuda.whl", "the file's name has a build tag that starts with no digit"},
		{"demo-1.0--none-any.whl", "the file's name has no valid tags"},
		{"demo-1.0-py3-none-../any.whl", "the file's name has no valid tags"},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			_, err := wheel.Open(bytes.NewReader(nil), 0, tt.file, scheme)
			want := &wheel.FormatError{File: tt.file, Problem: tt.problem}
			if diff := cmp.Diff(want, asFormatError(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// TestScheme refuses schemes that paths can't be made of.
func TestScheme(t *testing.T) {
	for name, edit := range map[string]func(*wheel.Scheme){
		"relative":      func(s *wheel.Scheme) { s.Purelib = "lib" },
		"empty":         func(s *wheel.Scheme) { s.Headers = "" },
		"not clean":     func(s *wheel.Scheme) { s.Data = "/usr/../etc" },
		"line feed":     func(s *wheel.Scheme) { s.Interpreter = "/usr/bin/python\nexit" },
		"no version":    func(s *wheel.Scheme) { s.Version = "" },
		"whole version": func(s *wheel.Scheme) { s.Version = "3.11.2" },
	} {
		t.Run(name, func(t *testing.T) {
			s := scheme
			edit(&s)
			b := zipOf(demo(), ending{})
			if w, err := wheel.Open(bytes.NewReader(b), int64(len(b)), demoFile, s); err == nil {
				t.Errorf("Open(%+v) = %v, want an error", s, w)
			}
		})
	}
}

// TestMessages pins what the user reads.
func TestMessages(t *testing.T) {
	tests := []struct {
		err           error
		message, hint string
	}{
		{
			&wheel.FormatError{File: "demo-1.0+cpu-py3-none-any.whl", Problem: "bytes follow the zip's end record"},
			"wheel demo-1.0+cpu-py3-none-any.whl: bytes follow the zip's end record", "require another version: demo!=1.0+cpu",
		},
		{
			&wheel.FormatError{File: demoFile, Member: "x\n", Problem: "it stands twice"},
			`wheel demo-1.0-py3-none-any.whl: member "x\n": it stands twice`, "require another version: demo!=1.0",
		},
		{
			&wheel.FormatError{File: "demo.whl", Problem: "the file's name is not a wheel's"},
			"wheel demo.whl: the file's name is not a wheel's", "name the file as its index does: NAME-VERSION-PYTHON-ABI-PLATFORM.whl",
		},
	}
	for _, tt := range tests {
		var hinted interface{ Hint() string }
		if !errors.As(tt.err, &hinted) {
			t.Fatalf("%v has no hint", tt.err)
		}
		got := tt.err.Error() + "\n" + hinted.Hint()
		if diff := cmp.Diff(tt.message+"\n"+tt.hint, got); diff != "" {
			t.Errorf("message and hint (-want +got):\n%s", diff)
		}
		if strings.HasSuffix(tt.err.Error(), ".") {
			t.Errorf("%q ends in a full stop", tt.err)
		}
	}
}
