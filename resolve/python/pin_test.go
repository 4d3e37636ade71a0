// SPDX-License-Identifier: Apache-2.0

package python

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"inlay/cache/fetch"
	"inlay/resolve/index"
)

// These tests are inside the package for the pin: what is really pinned is too
// large to serve.

const fakeUV = "#!/bin/sh\necho uv " + pinnedUV + "\n"

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// fakePin is a wheel with fakeUV in it.
func fakePin(t *testing.T) (pin, []byte) {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	w, err := z.Create("uv-" + pinnedUV + ".data/scripts/uv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(fakeUV)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return pin{file: "uv-" + pinnedUV + "-py3-none-any.whl", tag: "any", digest: sum(buf.Bytes()), executable: sum([]byte(fakeUV))}, buf.Bytes()
}

func noProgram(string) (string, error) { return "", errors.New("not found") }

// serve is an index with one file.
func serve(t *testing.T, file string, content []byte) (url string, requests *int) {
	t.Helper()
	requests = new(int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*requests++
		if user, password, _ := r.BasicAuth(); user != "u" || password != "secret" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/simple/uv/" {
			w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
			_, _ = fmt.Fprintf(w, `{"files": [{"url": "x.whl"}, {"url": "/f/%s"}]}`, file)
			return
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "://", "://u:secret@", 1) + "/simple", requests
}

// set is the package index at url.
func set(t *testing.T, url string) *index.Set {
	t.Helper()
	s, err := (*index.Set)(nil).With("", index.Index{URL: url, Default: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A pinned uv is fetched once, with the credentials of the index, and again if it was changed since.
func TestPinnedFromIndex(t *testing.T) {
	p, wheel := fakePin(t)
	url, requests := serve(t, p.file, wheel)
	o := FindOptions{LookPath: noProgram, Runner: Exec{}, Dir: t.TempDir(), Index: set(t, url), Files: &fetch.Store{Dir: t.TempDir(), Transport: set(t, url).Transport(nil)}}
	want := UV{Path: filepath.Join(o.Dir, pinnedUV, "uv"), Version: pinnedUV}
	check := func(step string) {
		t.Helper()
		got, err := o.pinned(t.Context(), p)
		if err != nil || got != want {
			t.Fatalf("%s: pinned = %+v, %v, want %+v", step, got, err, want)
		}
		log := &logWriter{}
		if exit, err := o.Runner.Run(t.Context(), Command{Path: got.Path, Stdout: log}); exit != 0 || err != nil || log.String() != "uv "+pinnedUV+"\n" {
			t.Errorf("%s: running it = %d, %v, %q", step, exit, err, log.String())
		}
	}
	check("at first")
	if *requests != 2 {
		t.Errorf("at first: %d requests, want 2", *requests)
	}
	check("again")
	o.Files.Offline = true
	check("offline")
	if *requests != 2 {
		t.Errorf("then: %d requests, want no more than 2", *requests)
	}
	o.Files.Offline = false
	if err := os.WriteFile(want.Path, []byte("#!/bin/sh\necho changed\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	check("changed")
}

func TestPinnedAtOnce(t *testing.T) {
	p, wheel := fakePin(t)
	url, _ := serve(t, p.file, wheel)
	o := FindOptions{LookPath: noProgram, Runner: Exec{}, Dir: t.TempDir(), Index: set(t, url), Files: &fetch.Store{Dir: t.TempDir(), Transport: set(t, url).Transport(nil)}}
	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			uv, err := o.pinned(t.Context(), p)
			if err != nil {
				return err
			}
			_, err = o.Runner.Run(t.Context(), Command{Path: uv.Path})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// pip is asked where no index is named, and what it brings is checked.
func TestPinnedFromPip(t *testing.T) {
	p, wheel := fakePin(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, p.file), wheel, 0o644); err != nil {
		t.Fatal(err)
	}
	const pip = `#!/bin/sh
[ "$1" = -m ] && shift 2
while [ $# -gt 1 ]; do
	case $1 in
	--dest) dest=$2 ;;
	--platform) [ "$2" = any ] || exit 2 ;;
	esac
	shift
done
[ "$1" = uv==0.13.9 ] && [ "$PIP_INDEX_URL" = https://example.com ] && [ -z "$UV_CACHE_DIR" ] || exit 3
cp %s/*.whl "$dest"
`
	for _, name := range []string{"pip3", "pip", "python3"} {
		program := filepath.Join(dir, name)
		if err := os.WriteFile(program, fmt.Appendf(nil, pip, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		o := FindOptions{
			LookPath: func(n string) (string, error) {
				if n == name {
					return program, nil
				}
				return noProgram(n)
			},
			Runner: Exec{}, Env: []string{"PATH=" + os.Getenv("PATH"), "PIP_INDEX_URL=https://example.com", "UV_CACHE_DIR=/x"},
			Dir: t.TempDir(), Files: &fetch.Store{Dir: t.TempDir()},
		}
		if uv, err := o.pinned(t.Context(), p); err != nil || isExecutable(uv.Path, p) != nil {
			t.Errorf("with %s: pinned = %+v, %v", name, uv, err)
		}
		other := p
		other.digest = sum([]byte("other"))
		o.Dir = t.TempDir()
		if uv, err := o.pinned(t.Context(), other); err == nil {
			t.Errorf("with %s and another digest: pinned = %+v, want an error", name, uv)
		}
		left, err := os.ReadDir(o.Dir)
		for _, e := range left {
			if !strings.HasPrefix(e.Name(), ".lock") {
				t.Errorf("with %s: %s is left over, %v", name, e.Name(), err)
			}
		}
	}
}

// Whatever the wheel's digest, a program with another one isn't unpacked.
func TestPinnedOtherProgram(t *testing.T) {
	p, wheel := fakePin(t)
	url, _ := serve(t, p.file, wheel)
	p.executable = sum([]byte("other"))
	o := FindOptions{LookPath: noProgram, Dir: t.TempDir(), Index: set(t, url), Files: &fetch.Store{Dir: t.TempDir(), Transport: set(t, url).Transport(nil)}}
	if uv, err := o.pinned(t.Context(), p); err == nil {
		t.Errorf("pinned = %+v, want an error", uv)
	}
	if left, err := os.ReadDir(filepath.Join(o.Dir, pinnedUV)); err == nil && len(left) > 0 {
		t.Errorf("%v is left over", left)
	}
}

// Each pin is of the pinned version and of its own platform.
func TestPins(t *testing.T) {
	seen := map[string]bool{}
	for platform, p := range pins {
		for _, s := range []string{p.file, p.digest, p.executable} {
			if seen[s] {
				t.Errorf("%s: %s stands twice", platform, s)
			}
			seen[s] = true
		}
		if !strings.HasPrefix(p.file, "uv-"+pinnedUV+"-py3-none-") || !strings.Contains(p.file, p.tag) || !wheelName().MatchString(p.file) {
			t.Errorf("%s: %s is not a wheel of uv %s for %s", platform, p.file, pinnedUV, p.tag)
		}
		if !hexSHA256().MatchString(p.digest) || !hexSHA256().MatchString(p.executable) {
			t.Errorf("%s: %q and %q must be sha256 in hex", platform, p.digest, p.executable)
		}
	}
	if !tested(pinnedUV) {
		t.Errorf("the pinned uv %s is not of a tested version", pinnedUV)
	}
}
