// SPDX-License-Identifier: Apache-2.0

package lock_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/lock"
)

const (
	sum    = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digest = "sha256:" + sum
)

// amd64 is an image with something in every field.
func amd64() lock.Image {
	return lock.Image{
		Platform:    "linux/amd64",
		Parent:      lock.Parent{Image: "python:3.11-slim", Digest: digest},
		Interpreter: "/opt/bin/python3",
		Groups: []lock.Group{
			{Name: "requirements", Requirements: []string{`six>=1; python_version < "4"`, "own @ dist/own-1.0-py3-none-any.whl"}, Constraints: []string{"idna<4"}},
		},
		Python:  &lock.Python{Version: "3.11.2", Installer: "uv", Indexes: []string{"https://index.example.com/simple"}},
		Removed: []lock.Dist{{Name: "six", Version: "1.10", Path: "/usr/lib/python3/dist-packages/six-1.10.dist-info"}},
		Wheels: []lock.Wheel{
			{Name: "own", Version: "1.0", File: "own-1.0-py3-none-any.whl", Path: "dist/own-1.0-py3-none-any.whl", SHA256: sum, Size: 7},
			{Name: "six", Version: "1.17.0", File: "six-1.17.0-py2.py3-none-any.whl", URL: "https://files.example.com/six-1.17.0-py2.py3-none-any.whl", SHA256: sum},
			{Name: "tar", Version: "1.0", File: "tar-1.0-py3-none-any.whl", SHA256: sum, Source: &lock.Sdist{File: "tar-1.0.tar.gz", URL: "https://files.example.com/tar-1.0.tar.gz", SHA256: sum}},
		},
		Broken: []string{"old 1 has requirement six<1.11, but you have six 1.17.0"},
	}
}

const encoded = "# What the names of this build stand for. Written by `inlay lock`, read by `inlay build` and `inlay plan`:\n" +
	"# keep it with the source, and let `inlay lock --refresh` renew it.\n" + `version: 1
images:
  - platform: linux/amd64
    parent:
      image: python:3.11-slim
      digest: ` + digest + `
    interpreter: /opt/bin/python3
    groups:
      - name: requirements
        requirements:
          - six>=1; python_version < "4"
          - own @ dist/own-1.0-py3-none-any.whl
        constraints:
          - idna<4
    python:
      version: 3.11.2
      installer: uv
      indexes:
        - https://index.example.com/simple
    removed:
      - name: six
        version: "1.10"
        path: /usr/lib/python3/dist-packages/six-1.10.dist-info
    wheels:
      - name: own
        version: "1.0"
        file: own-1.0-py3-none-any.whl
        path: dist/own-1.0-py3-none-any.whl
        sha256: ` + sum + `
        size: 7
      - name: six
        version: 1.17.0
        file: six-1.17.0-py2.py3-none-any.whl
        url: https://files.example.com/six-1.17.0-py2.py3-none-any.whl
        sha256: ` + sum + `
      - name: tar
        version: "1.0"
        file: tar-1.0-py3-none-any.whl
        sha256: ` + sum + `
        source:
          file: tar-1.0.tar.gz
          url: https://files.example.com/tar-1.0.tar.gz
          sha256: ` + sum + `
    broken:
      - old 1 has requirement six<1.11, but you have six 1.17.0
`

func encode(t *testing.T, f *lock.File) string {
	t.Helper()
	b, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The form is a contract: what is written stays readable, and what is read and
// written again is the same.
func TestEncode(t *testing.T) {
	f := (*lock.File)(nil).With(amd64())
	got := encode(t, f)
	if diff := cmp.Diff(encoded, got); diff != "" {
		t.Errorf("Encode (-want +got):\n%s", diff)
	}
	back, err := lock.Decode("inlay.lock", strings.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f, back); diff != "" {
		t.Errorf("Decode of what Encode wrote (-want +got):\n%s", diff)
	}
}

// A platform that is locked leaves the others alone; their order is their own.
func TestWith(t *testing.T) {
	arm, other := amd64(), amd64()
	arm.Platform, other.Parent.Image = "linux/arm64", "python:3.12-slim"
	f := (*lock.File)(nil).With(arm).With(amd64()).With(other)
	want := []lock.Image{other, arm}
	if diff := cmp.Diff(want, f.Images); diff != "" {
		t.Errorf("Images (-want +got):\n%s", diff)
	}
	if im := f.Image("", "linux/arm64"); im == nil || im.Parent.Image != "python:3.11-slim" {
		t.Errorf("Image(linux/arm64) = %+v, want the one that was locked first", im)
	}
	if im := f.Image("", "linux/s390x"); im != nil {
		t.Errorf("Image(linux/s390x) = %+v, want none", im)
	}
}

func TestChanges(t *testing.T) {
	tests := []struct {
		name string
		edit func(*lock.Image)
		want string
	}{
		{"nothing", func(*lock.Image) {}, ""},
		{"the answers", func(im *lock.Image) { im.Wheels, im.Removed, im.Python, im.Parent.Digest = nil, nil, nil, "" }, ""},
		{"the parent", func(im *lock.Image) { im.Parent.Image = "debian" }, "the parent image was python:3.11-slim and is debian"},
		{"the interpreter", func(im *lock.Image) { im.Interpreter = "" }, "`python` was \"/opt/bin/python3\" and is \"\""},
		{"the installer", func(im *lock.Image) { im.Installer = "pip" }, "the installer was uv and is pip"},
		{"an argument", func(im *lock.Image) { im.Arguments = []string{"--pre"} }, "argument --pre added"},
		{"a requirement", func(im *lock.Image) { im.Groups[0].Requirements[0] = "six>=2" }, `requirements: six>=2 added; requirements: six>=1; python_version < "4" removed`},
		{"a constraint", func(im *lock.Image) { im.Groups[0].Constraints = nil }, "requirements: constraint idna<4 removed"},
		{"the order", func(im *lock.Image) {
			r := im.Groups[0].Requirements
			r[0], r[1] = r[1], r[0]
		}, "the order of the requirements"},
		{"a group more", func(im *lock.Image) {
			im.Groups = append([]lock.Group{{Name: "p", Requirements: []string{"idna"}}}, im.Groups...)
		}, "p: idna added"},
		{"a group less", func(im *lock.Image) { im.Groups = nil }, `requirements: six>=1; python_version < "4" removed; requirements: own @ dist/own-1.0-py3-none-any.whl removed`},
	}
	for _, tt := range tests {
		old, now := amd64(), amd64()
		tt.edit(&now)
		if diff := cmp.Diff(tt.want, strings.Join(old.Changes(&now), "; ")); diff != "" {
			t.Errorf("%s: Changes (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"an unknown field", "    python:\n", "    pythons: 1\n    python:\n", `inlay.lock:17: unknown field "pythons"`},
		{"another version", "version: 1\n", "version: 2\n", `inlay.lock:3: it is of version "2", this program reads version 1`},
		{"no version", "version: 1\n", "", "inlay.lock:3: it doesn't say its version"},
		{"a field twice", "      installer: uv\n", "      installer: uv\n      installer: uv\n", `inlay.lock:20: mapping key "installer" already defined at line 19`},
		{"a number for a list", "    groups:\n", "    groups: 5\n    groupz:\n", "inlay.lock:10: a value of another kind is wanted"},
		{"no platform", "linux/amd64", "windows", `inlay.lock:5: "windows" is not a platform`},
		{"a short digest", "digest: sha256:aa", "digest: sha256:a", `inlay.lock:8: "sha256:` + sum[1:] + `" is not a digest`},
		{"no parent", "image: python:3.11-slim", `image: ""`, "inlay.lock:7: the parent has no name"},
		{"a short sha256", "        sha256: aa", "        sha256: a", `inlay.lock:31: "` + sum[1:] + `" is not a sha256`},
		{"a URL of another kind", "url: https://files", "url: ftp://files", "inlay.lock:36: want an http or https URL"},
		{"credentials", "url: https://files", "url: https://me:pw@files", "inlay.lock:36: a URL with credentials"},
		{"a URL and a path", "        url: ", "        path: six-1.17.0-py2.py3-none-any.whl\n        url: ", "inlay.lock:33: want either a URL or a path"},
		{"sources without a place", "          url: https://files.example.com/tar-1.0.tar.gz\n", "", "inlay.lock:43: want either a URL or a path"},
		{"a repository without a commit", "url: https://files.example.com/tar-1.0.tar.gz", "url: git+https://example.com/tar@main", "inlay.lock:43: want the URL of a commit, without credentials"},
		{"a repository with credentials", "url: https://files.example.com/tar-1.0.tar.gz", "url: git+https://ann:pw@example.com/tar@" + strings.Repeat("ab", 20), "inlay.lock:43: want the URL of a commit, without credentials"},
		{"sources with credentials", "https://files.example.com/tar", "https://ann:pw@files.example.com/tar", "inlay.lock:43: a URL with credentials"},
		{"sources that are no file", "file: tar-1.0.tar.gz", "file: ../tar-1.0.tar.gz", "inlay.lock:43: \"../tar-1.0.tar.gz\" is not the name of a file"},
		{"sources and a path", "        source:", "        path: tar-1.0-py3-none-any.whl\n        source:", "inlay.lock:38: what is built of sources has no URL and no path"},
		{"neither", "        path: dist/own-1.0-py3-none-any.whl\n", "", "inlay.lock:27: want either a URL or a path"},
		{"another file's path", "path: dist/own", "path: dist/../own", `inlay.lock:30: "dist/../own-1.0-py3-none-any.whl" is not the clean path of own-1.0-py3-none-any.whl`},
		{"a directory in a name", "file: six-1", "file: ../six-1", `inlay.lock:35: "../six-1.17.0-py2.py3-none-any.whl" is not the name of a wheel`},
		{"a name that isn't normalised", "name: own", "name: Own", `inlay.lock:27: "Own" is not the name of a distribution`},
		{"a wheel twice", "      - name: six\n        version: 1.17.0", "      - name: own\n        version: 1.17.0", "inlay.lock:33: a second wheel of own"},
		{"a size below 0", "size: 7", "size: -7", "inlay.lock:32: a size below 0"},
		{"a relative path of the parent", "path: /usr", "path: usr", `inlay.lock:23: "usr/lib/python3/dist-packages/six-1.10.dist-info" is not an absolute path`},
		{"an anchor", "version: 1\n", "version: &v 1\n", "inlay.lock:3: anchors and aliases are not used in lock files"},
		{"a second document", "version: 1\n", "version: 1\n---\n", "a second document begins"},
		{"no YAML", "version: 1\n", "version: [1\n", "inlay.lock:"},
	}
	for _, tt := range tests {
		in := strings.Replace(encoded, tt.old, tt.new, 1)
		if in == encoded {
			t.Errorf("%s: nothing was replaced", tt.name)
		}
		_, err := lock.Decode("inlay.lock", strings.NewReader(in))
		bad := new(lock.FormatError)
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.want) || bad.Hint() == "" {
			t.Errorf("%s: Decode: %v, want %s and a hint", tt.name, err, tt.want)
		}
	}
	for in, want := range map[string]string{
		"": "it is empty", "version: 1": "it has no images", "- 1": "it doesn't say its version", strings.Repeat("#\n", 9<<20): "it is longer than 16 MiB",
	} {
		if _, err := lock.Decode("inlay.lock", strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Decode(%.9q): %v, want %q", in, err, want)
		}
	}
	twice := strings.Replace(encoded, "images:\n", "images:\n  - {platform: linux/amd64, parent: {image: a, digest: "+digest+"}}\n", 1)
	if _, err := lock.Decode("inlay.lock", strings.NewReader(twice)); err == nil || !strings.Contains(err.Error(), "inlay.lock:6: a second image for linux/amd64") {
		t.Errorf("Decode of a platform twice: %v", err)
	}
	broken := errors.New("broken")
	if _, err := lock.Decode("inlay.lock", iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("Decode of a broken reader: %v, want %v", err, broken)
	}
}

func TestPublic(t *testing.T) {
	for in, want := range map[string]string{
		"https://me:pw@h/a%2Bb/x.whl?sig=1#sha256=00": "https://h/a%2Bb/x.whl", "https://h/simple": "https://h/simple", "": "", "file:///x": "", "://": "",
	} {
		if got := lock.Public(in); got != want {
			t.Errorf("Public(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestStaleError(t *testing.T) {
	var changes []string
	for i := range 6 {
		changes = append(changes, fmt.Sprint(i))
	}
	e := &lock.StaleError{File: "inlay.lock", Changes: changes}
	if want := "inlay.lock doesn't fit: 0; 1; 2; and 3 more"; e.Error() != want {
		t.Errorf("Error() = %q, want %q", e.Error(), want)
	}
	if e.Changes = changes[:4]; e.Error() != "inlay.lock doesn't fit: 0; 1; 2; 3" {
		t.Errorf("Error() of four = %q", e.Error())
	}
}

// What Decode takes, Encode writes so that Decode takes it again, as the same.
func FuzzDecode(f *testing.F) {
	f.Add(encoded)
	f.Add("version: 1\nimages: [{platform: linux/amd64, parent: {image: a, digest: " + digest + "}}]\n")
	f.Add("version: &a 1\nimages: *a\n")
	f.Add("version: 1\n? [a]\n: b\n")
	f.Fuzz(func(t *testing.T, in string) {
		file, err := lock.Decode("l", strings.NewReader(in))
		if err != nil {
			if bad := new(lock.FormatError); !errors.As(err, &bad) {
				t.Fatalf("Decode(%q): %v, want a *FormatError", in, err)
			}
			return
		}
		b, err := file.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := lock.Decode("l", bytes.NewReader(b))
		if err != nil {
			t.Fatalf("Decode of what Encode wrote of %q: %v\n%s", in, err, b)
		}
		c, err := again.Encode()
		if err != nil || !bytes.Equal(b, c) {
			t.Fatalf("written again %q is (%v)\n%s\nbefore it was\n%s", in, err, c, b)
		}
	})
}
