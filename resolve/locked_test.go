// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve"
	"inlay/resolve/index"
	"inlay/resolve/lock"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/settings"
)

// lockable is a request for a Python parent with requirements of each kind, and
// what they resolve to.
func lockable(t *testing.T, more string) (resolve.Request, *images, *answers) {
	t.Helper()
	req, im := request(t, `settings: {docker: {parent_image: "registry.example/base:v1", python: /usr/bin/python3.11, requirements: [`+
		`"six @ https://me.example/six-1.0-py3-none-any.whl?sig=hunter2", ./own-1.0-py3-none-any.whl`+more+`]}}`)
	im.files = append(im.files, "usr/bin/python3.11="+minimalELF, "usr/lib/python3.11/os.py=")
	own := filepath.Join(req.Context, "own-1.0-py3-none-any.whl")
	if err := os.WriteFile(own, []byte("a wheel"), 0o600); err != nil {
		t.Fatal(err)
	}
	req.Platform = "linux/amd64"
	var err error
	if req.Index, err = (*index.Set)(nil).With("a test", index.Index{URL: "https://me:hunter2@index.example/simple", Default: true}); err != nil {
		t.Fatal(err)
	}
	req.Lock = resolve.Lock{Name: "inlay.lock", Dir: req.Context}
	a := &answers{Resolution: python.Resolution{Broken: []string{"x 1 requires y, which is not installed"}, Wheels: []plan.Wheel{
		{Name: "own", Version: "1.0", File: "own-1.0-py3-none-any.whl", URL: "file://" + own, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("a wheel"))), Size: 7},
		{Name: "six", Version: "1.0", File: "six-1.0-py3-none-any.whl", URL: "https://me.example/six-1.0-py3-none-any.whl", Digest: "sha256:" + strings.Repeat("a", 64), Size: 9},
	}}}
	req.Python = a
	return req, im, a
}

// What is locked is what is built: the parent by its digest and the very
// wheels, from where they were. Neither a secret nor a path of this machine is
// in the file.
func TestLocked(t *testing.T) {
	req, im, a := lockable(t, "")
	first, err := resolve.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if a.given != nil {
		t.Errorf("without a lock the resolver was given %+v", a.given)
	}
	file := (*lock.File)(nil).With(*first.Locked())
	b, err := file.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "hunter2") || strings.Contains(string(b), req.Context) {
		t.Errorf("the lock file holds a secret or a path of this machine:\n%s", b)
	}
	if req.Lock.File, err = lock.Decode("inlay.lock", strings.NewReader(strings.ReplaceAll(string(b), first.Parent.Digest, "sha256:"+strings.Repeat("b", 64)))); err != nil {
		t.Fatal(err)
	}
	second, err := resolve.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := im.asked.String(), "registry.example/base@sha256:"+strings.Repeat("b", 64); got != want {
		t.Errorf("the parent asked for is %s, want %s", got, want)
	}
	want := &python.Resolution{Wheels: a.Wheels, Broken: a.Broken}
	if diff := cmp.Diff(want, a.given); diff != "" {
		t.Errorf("the resolver was given (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&req.Lock.File.Images[0], second.Locked()); diff != "" {
		t.Errorf("what fits is not locked anew (-want +got):\n%s", diff)
	}
	req.Refresh = true
	if _, err := resolve.Resolve(t.Context(), req); err != nil || a.given != nil || im.asked.Tag != "v1" {
		t.Errorf("refreshed: %v, given %+v, asked for %s, want all anew", err, a.given, im.asked)
	}
}

// A lock that doesn't fit says what changed; where it is to be renewed it keeps
// the parent, if that still has its name.
func TestStaleLock(t *testing.T) {
	tests := []struct {
		name string
		edit func(t *testing.T, req *resolve.Request)
		want string // of the error
		pin  bool   // the parent stays pinned when it is renewed
	}{
		{"a requirement more", func(t *testing.T, req *resolve.Request) {
			more, _, _ := lockable(t, ", idna")
			req.Settings = more.Settings
		}, "inlay.lock doesn't fit: requirements: idna added", true},
		{"another parent", func(_ *testing.T, req *resolve.Request) { req.Settings.ParentImage = "other" }, "inlay.lock doesn't fit: the parent image was registry.example/base:v1 and is other", false},
		{"another wheel of this machine", func(t *testing.T, req *resolve.Request) {
			if err := os.WriteFile(filepath.Join(req.Context, "own-1.0-py3-none-any.whl"), []byte("another"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "inlay.lock doesn't fit: own-1.0-py3-none-any.whl is another file", true},
		{"another platform", func(_ *testing.T, req *resolve.Request) { req.Settings.Platform = "linux/arm64/v8" }, "inlay.lock doesn't fit: it has nothing for linux/arm64", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, im, a := lockable(t, "")
			r, err := resolve.Resolve(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			req.Lock.File = (*lock.File)(nil).With(*r.Locked())
			tt.edit(t, &req)
			_, err = resolve.Resolve(t.Context(), req)
			if stale := new(lock.StaleError); !errors.As(err, &stale) || err.Error() != tt.want || !strings.HasPrefix(stale.Hint(), "run `inlay lock") {
				t.Errorf("Resolve: %v, want %s and what to run", err, tt.want)
			}
			req.Lock.Renew = true
			if _, err := resolve.Resolve(t.Context(), req); err != nil && tt.name != "another platform" { // the parent is of one
				t.Fatal(err)
			}
			if pinned := im.asked.Digest != ""; pinned != tt.pin || a.given != nil {
				t.Errorf("renewed: asked for %s and given %+v, want it pinned: %v, and resolved", im.asked, a.given, tt.pin)
			}
		})
	}
}

// The value of a variable is part of what is asked, unless it stands in a URL.
func TestLockedVariables(t *testing.T) {
	req, _, a := lockable(t, "")
	req.Settings = reload(t, req, `requirements: r.txt`)
	if err := os.WriteFile(filepath.Join(req.Context, "r.txt"), []byte("idna==${V}\nsix @ https://h.example/${T}/six-${V}-py3-none-any.whl\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"V": "3.7", "T": "hunter2"}
	req.Lookup = func(name string) (string, bool) { return values[name], true }
	a.Wheels = []plan.Wheel{{Name: "six", Version: "3.7", File: "six-3.7-py3-none-any.whl", URL: "https://h.example/hunter2/six-3.7-py3-none-any.whl", Digest: "sha256:" + strings.Repeat("a", 64)}}
	r, err := resolve.Resolve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	want := []lock.Group{{Name: "r.txt", Requirements: []string{"idna==3.7", "six @ https://h.example/****/six-****-py3-none-any.whl"}}}
	if diff := cmp.Diff(want, r.Locked().Groups); diff != "" {
		t.Errorf("Groups (-want +got):\n%s", diff)
	}
	if got := r.Locked().Wheels[0].URL; strings.Contains(got, "hunter2") {
		t.Errorf("the locked URL is %s, and tells the password", got)
	}
	req.Lock.File = (*lock.File)(nil).With(*r.Locked())
	if _, err := resolve.Resolve(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if got, want := a.given.Wheels[0].URL, a.Wheels[0].URL; got != want {
		t.Errorf("the wheel is taken from %s, want %s", got, want)
	}
	values["V"] = "3.8"
	_, err = resolve.Resolve(t.Context(), req)
	if err == nil || err.Error() != "inlay.lock doesn't fit: r.txt: idna==3.8 added; r.txt: idna==3.7 removed" {
		t.Errorf("Resolve with another version: %v", err)
	}
	values["V"] = "3.7"
	req.Lock.File.Images[0].Wheels[0].File = "six-3.6-py3-none-any.whl"
	_, err = resolve.Resolve(t.Context(), req)
	if err == nil || err.Error() != "inlay.lock doesn't fit: the URL of six names another file than six-3.6-py3-none-any.whl" {
		t.Errorf("Resolve with another file in the URL: %v", err)
	}
}

// reload returns req's settings with other requirements.
func reload(t *testing.T, req resolve.Request, requirements string) *settings.Docker {
	t.Helper()
	s, _, err := settings.Load("inlay.yaml", strings.NewReader("settings: {docker: {parent_image: base, python: /usr/bin/python3.11, "+requirements+"}}"), settings.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
