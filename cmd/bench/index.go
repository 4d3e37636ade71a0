// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"inlay/cache/fetch"
	"inlay/resolve/plan"
	"inlay/resolve/python"
)

// An index is a package index on loopback (PEP 503, PEP 691) that holds the wheels of
// the workloads, and no others: what is resolved from it is the same for all
// and at any time.
type index struct {
	store  fetch.Store
	server *httptest.Server

	mu     sync.Mutex
	wheels map[string][]plan.Wheel // by name
}

func newIndex(dir string) *index {
	x := &index{store: fetch.Store{Dir: dir}, wheels: map[string][]plan.Wheel{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/simple/{name}/", x.page)
	mux.HandleFunc("/files/{digest}/{file}", x.file)
	x.server = httptest.NewServer(mux)
	return x
}

func (x *index) url() string { return x.server.URL + "/simple/" }

// page answers as public indexes do: a page may be kept for ten minutes, and is
// not sent again to whoever has it. It says that the metadata of wheels is beside
// them (PEP 658) and, to who asks for JSON, how large they are. Installers fetch
// pages, and parts of wheels, again for every call otherwise, which none of their
// users sees.
func (x *index) page(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := x.wheels[r.PathValue("name")]
	if len(all) == 0 {
		http.NotFound(w, r)
		return
	}
	form, page := "text/html", htmlPage(all)
	if strings.Contains(r.Header.Get("Accept"), jsonForm) {
		form, page = jsonForm, jsonPage(r.PathValue("name"), all)
	}
	w.Header().Set("Content-Type", form)
	w.Header().Set("Vary", "Accept")
	w.Header().Set("Cache-Control", "max-age=600, public")
	w.Header().Set("ETag", fmt.Sprintf("\"%x\"", sha256.Sum256(page)))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(page))
}

func htmlPage(wheels []plan.Wheel) []byte {
	var page bytes.Buffer
	for _, w := range wheels {
		digest := strings.TrimPrefix(w.Digest, "sha256:")
		fmt.Fprintf(&page, "<a href=\"/files/%s/%s#sha256=%s\" data-core-metadata=\"true\">%s</a>\n", digest, html.EscapeString(w.File), digest, html.EscapeString(w.File))
	}
	return page.Bytes()
}

// jsonForm is the media type of a page in JSON (PEP 691).
const jsonForm = "application/vnd.pypi.simple.v1+json"

func jsonPage(name string, wheels []plan.Wheel) []byte {
	type file struct {
		Filename     string            `json:"filename"`
		URL          string            `json:"url"`
		Hashes       map[string]string `json:"hashes"`
		Size         int64             `json:"size"`
		CoreMetadata bool              `json:"core-metadata"`
	}
	files := make([]file, len(wheels))
	for i, w := range wheels {
		digest := strings.TrimPrefix(w.Digest, "sha256:")
		files[i] = file{w.File, "/files/" + digest + "/" + w.File, map[string]string{"sha256": digest}, w.Size, true}
	}
	page, err := json.Marshal(map[string]any{"meta": map[string]string{"api-version": "1.1"}, "name": name, "files": files, "versions": []string{}})
	if err != nil {
		panic(err) // nothing in it can't be JSON
	}
	return page
}

// file answers with a wheel, or with the METADATA in it. Neither ever changes, for
// their paths name a digest.
func (x *index) file(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=365000000, immutable, public")
	name := filepath.Join(x.store.Dir, filepath.Base(r.PathValue("digest")))
	if !strings.HasSuffix(r.PathValue("file"), ".whl.metadata") {
		http.ServeFile(w, r, name)
		return
	}
	text, err := metadata(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	http.ServeContent(w, r, "METADATA", time.Time{}, bytes.NewReader(text))
}

// metadata returns the METADATA in a wheel.
func metadata(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return python.ReadMetadata(f)
}

// add downloads what the requirements need on top of the parent. It returns how
// many wheels that is, and their size in bytes.
func (x *index) add(ctx context.Context, b *bench, requirements []string) (int, int64, error) {
	p, err := b.plan(ctx, requirements)
	if err != nil {
		return 0, 0, err
	}
	var size int64
	count := 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, s := range p.Image().Steps {
		if s.Python == nil {
			continue
		}
		for _, w := range s.Python.Wheels {
			x.offer(w)
			count++
			size += w.Size
			g.Go(func() error { return x.download(ctx, w) })
		}
	}
	return count, size, g.Wait()
}

func (x *index) offer(w plan.Wheel) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.Contains(x.wheels[w.Name], w) {
		x.wheels[w.Name] = append(x.wheels[w.Name], w)
	}
}

func (x *index) download(ctx context.Context, w plan.Wheel) error {
	digest, err := v1.NewHash(w.Digest)
	if err != nil {
		return err
	}
	f, err := x.store.Open(ctx, fetch.File{Name: w.File, URL: w.URL, Digest: digest, Size: w.Size})
	if err != nil {
		return err
	}
	return f.Close()
}

// plan asks inlay what the requirements need, of the index that it knows.
func (b *bench) plan(ctx context.Context, requirements []string) (plan.Plan, error) {
	dir, err := os.MkdirTemp(b.work, "plan-")
	if err != nil {
		return plan.Plan{}, err
	}
	if err := writeProject(dir, requirements); err != nil {
		return plan.Plan{}, err
	}
	cmd := exec.CommandContext(ctx, b.inlay, "plan", "-q", "--format", "json", "--cache-dir", filepath.Join(b.dir, "plans"), //nolint:gosec // the user's own
		"--parent-image", "oci:"+b.parent, "--requirements", filepath.Join(dir, "requirements.txt"), "--set", anyTorch, dir)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(b.uv)+":"+os.Getenv("PATH"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return plan.Plan{}, fmt.Errorf("resolving: %w\n%s", err, tail(stderr.Bytes()))
	}
	return plan.Decode(bytes.NewReader(out))
}
