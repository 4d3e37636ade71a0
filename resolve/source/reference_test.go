// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/source"
)

func TestParse(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	tests := []struct {
		text string
		want source.Reference
		str  string // "" for text
	}{
		{"example.com/python:3.11", source.Reference{"docker", "example.com/python", "3.11", ""}, ""},
		{"example.com/python", source.Reference{"docker", "example.com/python", "latest", ""}, "example.com/python:latest"},
		{"docker://example.com/python:3.11", source.Reference{"docker", "example.com/python", "3.11", ""}, "example.com/python:3.11"},
		{"127.0.0.1:5000/a/b@" + digest, source.Reference{"docker", "127.0.0.1:5000/a/b", "", digest}, ""},
		{"example.com/python:3.11@" + digest, source.Reference{"docker", "example.com/python", "", digest}, "example.com/python@" + digest},
		{"localhost:5000/docker:dind", source.Reference{"docker", "localhost:5000/docker", "dind", ""}, ""},
		{"oci:out/base", source.Reference{"oci", "out/base", "", ""}, ""},
		{"oci:/srv/Base Image:v1", source.Reference{"oci", "/srv/Base Image", "v1", ""}, ""},
		{"oci:base:example.com/app:v1", source.Reference{"oci", "base", "example.com/app:v1", ""}, ""},
		{"oci:me@home/base@" + digest, source.Reference{"oci", "me@home/base", "", digest}, ""},
		{"oci-archive:base.tar:v1@" + digest, source.Reference{"oci-archive", "base.tar", "v1", digest}, ""},
		{"apt:bookworm+python3+ca-certificates", source.Reference{"apt", "bookworm+python3+ca-certificates", "", ""}, ""},
		{"docker-archive:base.tar:app:v1", source.Reference{"docker-archive", "base.tar", "app:v1", ""}, ""},
	}
	for _, tt := range tests {
		got, err := source.Parse(tt.text)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.text, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", tt.text, diff)
		}
		want := tt.str
		if want == "" {
			want = tt.text
		}
		if got.String() != want {
			t.Errorf("Parse(%q).String() = %q, want %q", tt.text, got.String(), want)
		}
		if again, err := source.Parse(got.String()); err != nil || again != got {
			t.Errorf("Parse(%q) = %v, %v, want %v", got.String(), again, err, got)
		}
	}
}

func TestParseErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("Layout", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("layout", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{filepath.Join("Layout", "oci-layout"), filepath.Join("layout", "oci-layout"), "Image.tar"} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const names = "write NAME[:TAG] in lower case, or a path after oci:, oci-archive: or docker-archive:"
	tests := []struct{ text, problem, hint string }{
		{"", "it is no name of an image", names},
		{"Python", "it is no name of an image", names},
		{"./Layout", "it is no name of an image", "did you mean oci:./Layout?"},
		{"/nowhere/layout", "it is no name of an image", names},
		{"./layout", "it is no name of an image", "did you mean oci:./layout?"},
		{"Image.tar", "it is no name of an image", "did you mean docker-archive:Image.tar or oci-archive:Image.tar?"},
		{"apt:", `"" is no suite of Debian`, "write apt:SUITE or apt:SUITE+PACKAGE+PACKAGE; an image called apt is docker://apt:"},
		{"apt:bookworm+a/b", `"a/b" is no package that can be named here; list those with a + in their name in ` + "`apt_packages`", "write apt:SUITE or apt:SUITE+PACKAGE+PACKAGE; an image called apt is docker://apt:bookworm+a/b"},
		{"oci:", "it has no path", "write oci:PATH"},
		{"oci-archve:x.tar", `unknown transport "oci-archve"`, "did you mean oci-archive:x.tar?"},
		{"docker_archive:x.tar", `unknown transport "docker_archive"`, "did you mean docker-archive:x.tar?"},
		{"docker-daemon:app:1", `images of "docker-daemon" can't be read`, "save it to a file first: skopeo copy docker-daemon:app:1 oci-archive:FILE"},
		{"https://example.com/app", "it is an address of the web, not a name", "did you mean example.com/app?"},
		{"example.com/app@sha256:12", `"sha256:12" is no digest`, "write sha256: and 64 hexadecimal digits after the @"},
		{"example.com/app@latest", `"latest" is no digest`, "write sha256: and 64 hexadecimal digits after the @"},
	}
	for _, tt := range tests {
		_, err := source.Parse(tt.text)
		var re *source.ReferenceError
		if !errors.As(err, &re) {
			t.Errorf("Parse(%q) = %v, want a *ReferenceError", tt.text, err)
			continue
		}
		if diff := cmp.Diff([]string{tt.text, tt.problem, tt.hint}, []string{re.Reference, re.Problem, re.Hint()}); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", tt.text, diff)
		}
	}
}

func TestParseNamesWithCredentials(t *testing.T) {
	for _, text := range []string{
		"bob:hunter2@example.com/app:1", "docker://bob:hunter2@example.com/app", "https://bob:hunter2@example.com/app",
		"bob:hun/ter2@example.com/app", "bob:hunter2@example.com:5000/app@sha256:" + strings.Repeat("0", 64),
	} {
		_, err := source.Parse(text)
		var re *source.ReferenceError
		if !errors.As(err, &re) || !strings.Contains(re.Hint(), "docker login") {
			t.Errorf("Parse(%q) = %v, want a *ReferenceError that names docker login", text, err)
			continue
		}
		if said := err.Error() + re.Hint(); strings.Contains(said, "hun") || !strings.Contains(said, "****@example.com") {
			t.Errorf("Parse(%q) = %s, want the host without the password", text, said)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a/b:c", "oci:x:y", "docker-archive:x:a/b:c@sha256:00", "docker://a", "http://a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := source.Parse(s)
		if err != nil {
			return
		}
		again, err := source.Parse(r.String())
		if err != nil || again != r {
			t.Errorf("Parse(%q) = %v, but Parse(%q) = %v, %v", s, r, r, again, err)
		}
	})
}
