// SPDX-License-Identifier: Apache-2.0

package cell_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/cache/disk"
	"inlay/layers"
	"inlay/resolve/index"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
	"inlay/resolve/python/reqfile"
)

// counted are cells that count how often uv is asked where files are. They may
// keep to themselves what the index listed.
type counted struct {
	python.Isolation
	silent bool
	asked  int
}

type countedCell struct {
	python.Cell
	of *counted
}

func (c *counted) Enter(ctx context.Context, n python.Needs) (python.Cell, error) {
	in, err := c.Isolation.Enter(ctx, n)
	return countedCell{in, c}, err
}

func (c countedCell) Run(ctx context.Context, x python.Command) (int, error) {
	if x.Args[1] == "compile" {
		c.of.asked++
	}
	return c.Cell.Run(ctx, x)
}

func (c countedCell) Listed(files []string) map[string]python.Listed {
	if c.of.silent {
		return nil
	}
	return c.Cell.Listed(files)
}

// newWheels serves an index whose pages may be kept, of the wheels of these names.
func newWheels(t *testing.T, html bool, names ...string) *index.Set {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range names {
		_, files[name] = pythontest.Wheel(name)
	}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		project, page := strings.CutPrefix(r.URL.Path, "/simple/")
		if content, ok := files[path.Base(r.URL.Path)]; ok && !page {
			_, _ = w.Write(content)
			return
		}
		w.Header().Set("Cache-Control", "max-age=600")
		var list []any
		for _, name := range names {
			if !page || strings.Trim(project, "/") != name[:strings.Index(name, "-")] {
				continue
			}
			sum := fmt.Sprintf("%x", sha256.Sum256(files[name]))
			list = append(list, map[string]any{"filename": name, "url": "../../files/" + name, "hashes": map[string]string{"sha256": sum}, "size": len(files[name])})
			if html {
				_, _ = fmt.Fprintf(w, "<a href='../../files/%s#sha256=%s'>%s</a>\n", name, sum, name)
			}
		}
		switch {
		case list == nil:
			http.NotFound(w, r)
		case !html:
			w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
			_ = json.NewEncoder(w).Encode(map[string]any{"meta": map[string]string{"api-version": "1.0"}, "name": project, "files": list})
		}
	}))
	t.Cleanup(s.Close)
	set, err := index.Gather(t.Context(), index.Options{Default: s.URL + "/simple"})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestUVListed compares what a real uv says of where files are with what is known
// of that without asking it: with an empty cache, with one requirement bumped
// where uv has the pages, and with what no page of this session lists.
func TestUVListed(t *testing.T) {
	uv := pythontest.UV(t)
	box := isolation(t)
	for _, html := range []bool{false, true} {
		set := newWheels(t, html, "alpha-1.0-py3-none-any.whl", "alpha-1.1-py3-none-any.whl", "beta-1.0-py3-none-any.whl", "local-1.0+cpu-py3-none-any.whl")
		cells := []*counted{{Isolation: box}, {Isolation: box, silent: true}}
		var answers [2][]string
		for i, c := range cells {
			dir := t.TempDir()
			r := &python.Resolver{
				UV: func(context.Context) (python.UV, error) { return uv, nil }, Isolation: c, Dir: filepath.Join(dir, "cache"), Temp: filepath.Join(dir, "tmp"),
				Env: []string{"UV_HTTP_RETRIES=0", "SSL_CERT_FILE=" + os.Getenv("SSL_CERT_FILE")}, Store: disk.Values{Dir: filepath.Join(dir, "store")},
			}
			for _, lines := range []string{"alpha==1.0\nbeta", "alpha==1.1\nbeta", "alpha\nbeta\nlocal"} {
				if c.silent {
					r.Store = disk.Values{Dir: t.TempDir()} // so uv is asked for all
				}
				answers[i] = append(answers[i], resolve(t, r, set, lines))
			}
		}
		if diff := cmp.Diff(answers[1], answers[0]); diff != "" {
			t.Errorf("html %v (-uv +known):\n%s", html, diff)
		}
		if !strings.Contains(answers[0][2], "local-1.0+cpu") || cells[0].asked != 1 || cells[1].asked != 3 {
			t.Errorf("html %v: uv was asked %d and %d times where files are, want once, for what is spelled in two ways, and 3 times", html, cells[0].asked, cells[1].asked)
		}
	}
}

// resolve returns the wheels that meet requirements, as a plan has them.
func resolve(t *testing.T, r *python.Resolver, set *index.Set, lines string) string {
	t.Helper()
	g, err := reqfile.Reader{}.Text("requirements.txt", strings.NewReader(lines))
	if err != nil {
		t.Fatal(err)
	}
	empty := func(context.Context) (*layers.View, error) { return layers.Stack() }
	got, err := r.Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: empty, Groups: []python.Group{g}, Index: set})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(got.Wheels)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
