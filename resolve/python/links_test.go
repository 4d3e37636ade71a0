// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"inlay/cache/fetch"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
	"inlay/resolve/python/reqfile"
)

// Wheels and sources come from a directory, and no index is asked where that is
// said. What is another file there is chosen anew.
func TestLinks(t *testing.T) {
	builds(t, func(t *testing.T, r *python.Resolver, installer string) {
		dir, m := t.TempDir(), &maker{}
		r.Builder, r.Files = m, &fetch.Store{Dir: t.TempDir()}
		put := func(name string, content []byte) {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		file, wheel := pythontest.Wheel("beta-1.5-py3-none-any.whl")
		put(file, wheel)
		put("dynamic-1.0.tar.gz", packages()["dynamic-1.0.tar.gz"])
		asked := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Errorf("an index is asked for %s", r.URL) }))
		defer asked.Close()
		resolve := func(lines ...string) ([]string, error) {
			got, err := r.Resolve(t.Context(), python.Request{
				Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, lines...), Index: at(t, asked.URL+"/simple"), Installer: installer,
				Arguments: python.Arguments{Options: []reqfile.Option{{Name: "find-links", Value: dir}, {Name: "no-index"}}},
			})
			if err != nil {
				return nil, err
			}
			var all []string
			for _, w := range got.Wheels {
				all = append(all, fmt.Sprintf("%s %s%s %s", w.Name, w.URL, w.Source.URL, w.Digest[:10]))
			}
			return all, nil
		}
		want := "[beta file://" + dir + "/" + file + " sha256:" + sumOf(wheel)[:3]
		got, err := resolve("beta>=1", "dynamic")
		if text := fmt.Sprint(got); err != nil || !strings.HasPrefix(text, want) || !strings.Contains(text, "dynamic file://"+dir+"/dynamic-1.0.tar.gz sha256:") {
			t.Errorf("Resolve = %s, %v, want %s…", got, err, want)
		}
		if again, err := resolve("beta>=1", "dynamic"); err != nil || fmt.Sprint(again) != fmt.Sprint(got) || len(m.made) != 1 {
			t.Errorf("once more: %s, %v, built were %q", again, err, m.made)
		}
		newer, content := pythontest.Wheel("beta-2.0-py3-none-any.whl")
		put(newer, content)
		if got, err := resolve("beta>=1", "dynamic"); err != nil || !strings.Contains(fmt.Sprint(got), newer) {
			t.Errorf("with a newer file: %s, %v, want that", got, err)
		}
		var unsatisfiable *python.UnsatisfiableError
		if _, err := resolve("alpha"); !errors.As(err, &unsatisfiable) {
			t.Errorf("what the directory lacks: %v, want an *UnsatisfiableError", err)
		}
		if _, err := resolve("beta==1.5 --hash=sha256:" + sumA); err == nil {
			t.Error("a file of another hash was taken")
		}
	})
}

// A page of links is one more place, in lines too.
func TestLinksPage(t *testing.T) {
	builds(t, func(t *testing.T, r *python.Resolver, installer string) {
		ix := newIndex(t, packages())
		file, wheel := pythontest.Wheel("extra-3.0-py3-none-any.whl")
		page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/wheels.html" {
				_, _ = w.Write(wheel)
				return
			}
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<a href='files/"+file+"#sha256="+sumOf(wheel)+"'>"+file+"</a>")
		}))
		defer page.Close()
		got, err := r.Resolve(t.Context(), python.Request{
			Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "-f "+page.URL+"/wheels.html", "extra", "beta"), Index: at(t, ix.url()), Installer: installer,
		})
		if err != nil {
			t.Fatal(err)
		}
		if w := got.Wheels[len(got.Wheels)-1]; len(got.Wheels) != 2 || w.URL != page.URL+"/files/"+file || w.Digest != "sha256:"+sumOf(wheel) {
			t.Errorf("the wheels are %+v", got.Wheels)
		}
	})
}
