// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/cache/fetch"
	"inlay/layers/pattern"
)

// A Gateway serves a package index (PEP 503, PEP 691) on a port of a sandbox,
// read-only. A URL inside is the one outside as a path: the project six of
// https://index.example/simple is http://127.0.0.1:PORT/https/index.example/simple/six/.
// It serves what lies below the index, and the files that pages of the index
// link to, wherever those are. Redirects are followed outside.
type Gateway struct {
	exit  *Exit
	index *url.URL
	web   http.RoundTripper
	files *fetch.Store // nil keeps none

	mu      sync.Mutex
	links   map[string]link // the files that pages link to, by URL
	servers map[string]bool // of files, that the exit knows
	sought  map[string]bool // projects whose pages were read for their links
}

// GatewayOptions describe an index.
type GatewayOptions struct {
	Index string // its URL, without user and password
	// Authorize returns a RoundTripper that adds the credentials of requests, each
	// by its own URL, and hands them to base; index.Set.Transport is one. Nil adds
	// none.
	Authorize func(base http.RoundTripper) http.RoundTripper
	// Files is a directory that keeps files by their sha256; "" keeps none.
	Files string
}

// Gateway returns the gateway to an index, which the user named.
func (x *Exit) Gateway(o GatewayOptions) (*Gateway, error) {
	u, err := url.Parse(o.Index)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%q is no URL of an index", o.Index)
	}
	u.Path = strings.TrimRight(u.Path, "/") + "/"
	g := x.gateway(o)
	g.index = u
	x.named(u)
	return g, nil
}

// gateway returns a gateway to nothing yet.
func (x *Exit) gateway(o GatewayOptions) *Gateway {
	g := &Gateway{exit: x, links: map[string]link{}, sought: map[string]bool{}, servers: map[string]bool{}, web: x}
	if o.Authorize != nil {
		g.web = o.Authorize(x)
	}
	if o.Files != "" {
		g.files = &fetch.Store{Dir: o.Files, Transport: g.web}
	}
	return g
}

// named lets the host of u be reached, which the user named.
func (x *Exit) named(u *url.URL) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.names[canonical(u.Hostname())] = true
	x.hosts[hostPort(u)] = true
}

// URL returns the URL of the index for programs that reach the gateway at
// address, "127.0.0.1:PORT".
func (g *Gateway) URL(address string) string {
	return strings.TrimRight(inside(address, g.index), "/")
}

// inside returns how u is named behind a gateway at address.
func inside(address string, u *url.URL) string {
	text := "http://" + address + "/" + u.Scheme + "/" + u.Host + u.EscapedPath()
	if u.RawQuery != "" {
		text += "?" + u.RawQuery
	}
	if u.Fragment != "" {
		text += "#" + u.EscapedFragment()
	}
	return text
}

// Serve answers on l until ctx ends. It closes l.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error { return serve(ctx, l, g) }

// ServeHTTP answers one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "an index is only read", http.StatusMethodNotAllowed)
		return
	}
	u, err := outside(r.URL)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	digest, file := g.linked(u)
	if !file && !g.below(u) {
		digest, file = g.seek(r.Context(), u)
	}
	if !file && !g.below(u) {
		g.exit.note(Request{Host: hostPort(u), Method: r.Method})
		http.Error(w, "no page of the index links to this", http.StatusForbidden)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.exit.time)
	defer cancel()
	r = r.WithContext(ctx)
	if digest != "" && g.files != nil && (!g.exit.ranges || r.Header.Get("Range") == "" || g.has(digest)) {
		err = g.kept(w, r, u, digest)
	} else {
		err = g.pass(w, r, u, file)
	}
	if err != nil {
		g.exit.fail(w, Request{Host: hostPort(u), Method: r.Method}, hideURL(err))
	}
}

// outside returns the URL that a request means.
func outside(in *url.URL) (*url.URL, error) {
	scheme, rest, _ := strings.Cut(strings.TrimPrefix(in.EscapedPath(), "/"), "/")
	host, rest, _ := strings.Cut(rest, "/")
	host, err := url.PathUnescape(host) // pip writes a port as "%3A443"
	if err != nil || strings.ContainsAny(host, "/?#") {
		host = ""
	}
	u, err := url.Parse(scheme + "://" + host + "/" + rest)
	if err != nil || scheme != "http" && scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("this is a gateway to a package index: want /https/HOST/PATH")
	}
	u.RawQuery = in.RawQuery
	return u, nil
}

// below reports whether u lies below the index. One that leads out of it by
// "..", however that is written, does not.
func (g *Gateway) below(u *url.URL) bool {
	return g.index != nil && u.Scheme == g.index.Scheme && hostPort(u) == hostPort(g.index) &&
		strings.HasPrefix(path.Clean(u.Path)+"/", g.index.Path) && !strings.Contains(u.Path+"/", "/../")
}

// linked reports whether a page links to u, or to a file that u is beside: its
// metadata, its signature. It returns the sha256 that the page gives.
func (g *Gateway) linked(u *url.URL) (digest string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	plain := *u
	plain.Fragment, plain.RawFragment = "", ""
	if l, ok := g.links[plain.String()]; ok {
		return l.digest, true
	}
	for _, beside := range []string{".metadata", ".provenance"} {
		if of, cut := strings.CutSuffix(u.EscapedPath(), beside); cut {
			file := plain
			if file.Path, file.RawPath = strings.TrimSuffix(u.Path, beside), of; file.RawQuery == u.RawQuery {
				_, ok = g.links[file.String()]
				return "", ok
			}
		}
	}
	return "", false
}

// archive matches the paths of files of packages.
var archive = pattern.New(`(?i)\.(?:whl|zip|tgz|tar\.(?:gz|bz2|xz))$`)

// A link is what a page says of a file.
type link struct {
	digest string // sha256 in hex, "" if that isn't known
	size   int64  // 0 if it isn't known, less if it can't be read
	page   string // the last part of the page's path, which is the name of a project
}

// learn notes that a page links to u, to a file of the sha256 that l has or a
// fragment says. Where the files of packages are, the proxy leads too.
func (g *Gateway) learn(u *url.URL, l link) {
	plain := *u
	plain.Fragment, plain.RawFragment = "", ""
	l.digest = cmp.Or(l.digest, strings.TrimPrefix(u.Fragment, "sha256="))
	if archive().MatchString(u.Path) { // not the page of a project
		g.exit.learn(u)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.note(plain.String(), l)
}

// learnPlain is learn for the URL of an archive, on a server, that reads as it is
// written.
func (g *Gateway) learnPlain(name, server string, l link) {
	g.mu.Lock()
	known := g.servers[server]
	g.servers[server] = true
	g.note(name, l)
	g.mu.Unlock()
	if known {
		return
	}
	if u, err := url.Parse(server); err == nil {
		g.exit.learn(u)
	}
}

// note notes a link. g.mu is held.
func (g *Gateway) note(name string, l link) {
	l.digest = strings.ToLower(l.digest)
	if len(l.digest) != 2*sha256.Size || strings.Trim(l.digest, "0123456789abcdef") != "" {
		l.digest = ""
	}
	if have := g.links[name]; l.digest == "" && have.digest != "" || len(g.links) >= maxLinks && have.digest == "" {
		return
	}
	g.links[name] = l
}

// maxLinks is how many links are noted. The pages of what a build needs have
// some hundred each, a few of them thousands.
const maxLinks = 1 << 19

func (g *Gateway) has(digest string) bool {
	return g.files.Has(v1.Hash{Algorithm: "sha256", Hex: digest})
}

// kept answers with a file of a known sha256, as it was kept or fetched now. To a
// program that has the file it says so: for that nothing is read.
func (g *Gateway) kept(w http.ResponseWriter, r *http.Request, u *url.URL, digest string) error {
	tag := `"` + digest + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "no-cache") // the page may name another file of that name tomorrow
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	name := path.Base(u.Path)
	f, err := g.files.Open(r.Context(), fetch.File{Name: name, URL: u.String(), Digest: v1.Hash{Algorithm: "sha256", Hex: digest}})
	var status *fetch.StatusError
	if errors.As(err, &status) {
		http.Error(w, err.Error(), status.Code)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}

var (
	// asks are the fields of a request that decide about the answer, partly those
	// that ask for a part of a file, and anew those that ask for a page if it isn't
	// what it was.
	asks   = []string{"Accept", "User-Agent"}
	partly = []string{"Range", "If-Range"}
	anew   = []string{"If-None-Match", "If-Modified-Since"}
	// tells are the fields of an answer that say what it is.
	tells = []string{"Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "ETag", "Last-Modified", "Cache-Control"}
)

// pass asks the server for u and hands its answer on: of pages with their links
// as they are inside.
func (g *Gateway) pass(w http.ResponseWriter, r *http.Request, u *url.URL, file bool) error {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, u.String(), nil)
	if err != nil {
		return err
	}
	fields := slices.Concat(asks, anew)
	if file {
		fields = slices.Concat(asks, partly)
		req.Header.Set("Accept-Encoding", "identity") // the bytes that a digest is of
	}
	for _, name := range fields {
		if v := r.Header.Get(name); v != "" {
			req.Header.Set(name, v)
		}
	}
	resp, err := (&http.Client{Transport: g.web, CheckRedirect: redirected}).Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if kind := resp.Header.Get("Content-Type"); !file && resp.StatusCode == http.StatusOK && r.Method == http.MethodGet &&
		(strings.Contains(kind, "json") || strings.Contains(kind, "html")) {
		return g.page(w, r.Host, resp)
	}
	for _, name := range tells {
		if v := resp.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(resp.StatusCode)
	if _, err = io.Copy(w, resp.Body); err != nil {
		breakOff(w)
	}
	return nil
}

// breakOff ends an answer that has begun so that nobody takes it for whole.
func breakOff(w http.ResponseWriter) {
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = c.Close()
	}
}

// redirected lets a request follow where a server sends it. It reaches public
// addresses only, unless the user named the host.
func redirected(_ *http.Request, via []*http.Request) error {
	const most = 10
	if len(via) > most {
		return fmt.Errorf("more than %d redirects", most)
	}
	return nil
}

// hideURL returns err without the URL that net/http puts in front, which may
// hold what a server signed.
func hideURL(err error) error {
	var web *url.Error
	if errors.As(err, &web) {
		return web.Err
	}
	return err
}
