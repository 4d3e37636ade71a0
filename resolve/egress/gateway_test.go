// SPDX-License-Identifier: Apache-2.0

package egress_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/egress"
	"inlay/resolve/index"
)

const password = "s3cr3t/p@ss"

// An indexServer is an index that wants a password, and a server that has some
// of its files and wants none.
type indexServer struct {
	*httptest.Server
	files   *httptest.Server
	mu      sync.Mutex
	asked   []string
	content map[string]string
}

func newIndexServer(t *testing.T) *indexServer {
	t.Helper()
	ix := &indexServer{content: map[string]string{}}
	note := func(r *http.Request, what string) {
		ix.mu.Lock()
		defer ix.mu.Unlock()
		_, pw, _ := r.BasicAuth()
		ix.asked = append(ix.asked, strings.TrimSpace(what+" "+r.Method+" "+r.URL.RequestURI()+" "+pw))
	}
	ix.files = serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		note(r, "files")
		http.ServeContent(w, r, "f.bin", time.Time{}, strings.NewReader("content of "+r.URL.Path))
	})
	ix.Server = serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		note(r, "index")
		user, pw, _ := r.BasicAuth()
		page, ok := ix.content[r.URL.Path]
		switch {
		case user != "ann" || pw != password:
			http.Error(w, "who?", http.StatusUnauthorized)
		case strings.HasPrefix(page, "-> "):
			http.Redirect(w, r, page[3:], http.StatusFound)
		case ok && strings.HasPrefix(page, "{"):
			w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
			io.WriteString(w, page)
		case ok:
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, page)
		default:
			http.NotFound(w, r)
		}
	})
	return ix
}

// open returns a gateway to the index, where it is, and what is recorded.
func (ix *indexServer) open(t *testing.T, files string) (url, address string, x *egress.Exit) {
	t.Helper()
	set, err := (*index.Set)(nil).With("a test", index.Index{URL: strings.Replace(ix.URL, "://", "://ann:"+strings.ReplaceAll(strings.ReplaceAll(password, "/", "%2F"), "@", "%40")+"@", 1) + "/simple"})
	if err != nil {
		t.Fatal(err)
	}
	x = newExit(t, egress.Options{Hosts: []string{host(ix.files)}})
	g, err := x.Gateway(egress.GatewayOptions{Index: ix.URL + "/simple", Authorize: set.Transport, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	address = listen(t, g.Serve)
	return g.URL(address), address, x
}

var links = regexp.MustCompile(`"(http[^"]+)"`)

// Pages in both forms come with links that lead through the gateway, which adds
// the credentials; what is behind the links is there, and where that needs no
// credentials it gets none.
func TestGateway(t *testing.T) {
	ix := newIndexServer(t)
	sum := sha256.Sum256([]byte("content of /packages/d.whl"))
	digest := hex.EncodeToString(sum[:])
	ix.content["/root.whl"], ix.content["/files/rel.whl"], ix.content["/simple/six/near.whl"] = "root", "relative", "near"
	ix.content["/simple/"] = `<a href="six/">six</a>`
	ix.content["/simple/six/"] = fmt.Sprintf(`<html><A class=x href='/root.whl'>a</A> <a href="../../files/rel.whl#sha256=00">b</a>
<a href="%s/packages/c.whl?x=1&amp;y=2" data-core-metadata="true">c</a> <a href=near.whl>n</a> <a href="mailto:x@y">m</a>`, ix.files.URL)
	page, err := json.Marshal(map[string]any{"meta": map[string]any{"api-version": "1.1"}, "name": "seven", "files": []any{
		map[string]any{"filename": "d.whl", "url": ix.files.URL + "/packages/d.whl", "hashes": map[string]string{"sha256": digest}, "size": 5000000000000001},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ix.content["/simple/seven/"] = string(page)
	url, address, _ := ix.open(t, "")
	c := http.DefaultClient
	inside := func(s *httptest.Server) string { return "http://" + address + "/https/" + host(s) }
	if got, want := get(c, url+"/"), `200 <a href="`+inside(ix.Server)+`/simple/six/">six</a>`; got != want {
		t.Errorf("the list of projects = %q, want %q", got, want)
	}
	six := get(c, url+"/six/")
	var got []string
	for _, m := range links.FindAllStringSubmatch(strings.ReplaceAll(six, "&amp;", "&"), -1) {
		body := get(c, m[1])
		got = append(got, strings.TrimPrefix(m[1], "http://"+address)+" = "+body)
	}
	want := []string{
		"/https/" + host(ix.Server) + "/root.whl = 200 root",
		"/https/" + host(ix.Server) + "/files/rel.whl#sha256=00 = 200 relative",
		"/https/" + host(ix.files) + "/packages/c.whl?x=1&y=2 = 200 content of /packages/c.whl",
		"/https/" + host(ix.Server) + "/simple/six/near.whl = 200 near",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the links of a page (-want +got):\n%s", diff)
	}
	if !strings.Contains(six, `href="mailto:x@y"`) || !strings.Contains(six, "data-core-metadata") {
		t.Errorf("the page lost something: %s", six)
	}
	seven := get(c, url+"/seven/")
	if want := fmt.Sprintf(`"url":"%s/packages/d.whl"`, inside(ix.files)); !strings.Contains(seven, want) || !strings.Contains(seven, "5000000000000001") {
		t.Errorf("a page in JSON = %s, want %s in it, and the size", seven, want)
	}
	if got := get(c, inside(ix.files)+"/packages/d.whl.metadata"); got != "200 content of /packages/d.whl.metadata" {
		t.Errorf("the metadata beside a file = %q", got)
	}
	for _, a := range ix.asked {
		if strings.HasPrefix(a, "index ") != strings.HasSuffix(a, " "+password) {
			t.Errorf("asked %q: the index wants the password, nobody else", a)
		}
	}
}

// raw sends a request as it is and returns the status of the answer.
func raw(t *testing.T, address, line string) int {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", line)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// Nothing else is served: no other method, no path beside the index, no file
// that no page links to.
func TestGatewayRefuses(t *testing.T) {
	ix := newIndexServer(t)
	ix.content["/admin"], ix.content["/simple/six/"] = "admin", "<a href='/root.whl'>a</a>"
	_, address, x := ix.open(t, "")
	for _, path := range []string{
		"/https/" + host(ix.Server) + "/admin",
		"/https/" + host(ix.Server) + "/simple/../admin",
		"/https/" + host(ix.Server) + "/simple/%2e%2e/admin",
		"/https/" + host(ix.Server) + "/simplest/",
		"/https/" + host(ix.Server) + "/root.whl", // no page was read yet
		"/https/" + host(ix.files) + "/packages/x.whl",
		"/http/" + host(ix.Server) + "/simple/",
		"/https/ann:pw@" + host(ix.Server) + "/simple/",
		"/ftp/" + host(ix.Server) + "/simple/",
		"/",
	} {
		if got := raw(t, address, "GET "+path); got != 403 && got != 404 {
			t.Errorf("GET %s = %d, want 403 or 404", path, got)
		}
	}
	for _, m := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		if got := raw(t, address, m+" /https/"+host(ix.Server)+"/simple/"); got != 405 {
			t.Errorf("%s = %d, want 405", m, got)
		}
	}
	if len(ix.asked) > 0 {
		t.Errorf("a server was asked: %q", ix.asked)
	}
	if err := x.Refused(); err == nil {
		t.Error("nothing says what was refused")
	}
}

// Redirects are followed outside: what a server signs isn't seen inside, and the
// password goes no further.
func TestGatewayRedirects(t *testing.T) {
	ix := newIndexServer(t)
	ix.content["/simple/Six/"], ix.content["/simple/six/"] = "-> /simple/six/", "<a href='../../f.whl'>f</a>"
	ix.content["/f.whl"] = "-> " + ix.files.URL + "/signed?token=hush"
	url, address, x := ix.open(t, "")
	page := get(http.DefaultClient, url+"/Six/")
	want := "200 <a href=\"http://" + address + "/https/" + host(ix.Server) + "/f.whl\">f</a>"
	if page != want {
		t.Errorf("a page that moved = %q, want %q", page, want)
	}
	if got := get(http.DefaultClient, "http://"+address+"/https/"+host(ix.Server)+"/f.whl"); got != "200 content of /signed" {
		t.Errorf("a file that is elsewhere = %q", got)
	}
	if last := ix.asked[len(ix.asked)-1]; last != "files GET /signed?token=hush" {
		t.Errorf("asked %q at last", last)
	}
	var hosts []string
	for _, r := range x.Requests() {
		hosts = append(hosts, r.Host)
	}
	if both := []string{host(ix.Server), host(ix.files)}; !slices.Contains(hosts, both[0]) || !slices.Contains(hosts, both[1]) {
		t.Errorf("recorded are %q, want %q", hosts, both)
	}
	ix.content["/simple/loop/"] = "-> /simple/loop/"
	if got := get(http.DefaultClient, url+"/loop/"); !strings.HasPrefix(got, "502 ") {
		t.Errorf("a redirect to itself = %q, want 502", got)
	}
}

// A server that a page links to is reached at public addresses only, and where a
// redirect leads too.
func TestGatewayPrivate(t *testing.T) {
	ix := newIndexServer(t)
	victim := servePlain(t, echo)
	local := strings.Replace(victim.URL, "127.0.0.1", "127.0.0.2", 1)
	ix.content["/simple/six/"] = fmt.Sprintf("<a href='%s/x'>x</a> <a href='/moved'>y</a>", local)
	ix.content["/moved"] = "-> " + local + "/y"
	url, _, x := ix.open(t, "")
	for _, m := range links.FindAllStringSubmatch(get(http.DefaultClient, url+"/six/"), -1) {
		if got := get(http.DefaultClient, m[1]); !strings.HasPrefix(got, "403 ") {
			t.Errorf("%s = %q, want 403", m[1], got)
		}
	}
	if err := x.Refused(); err == nil || !strings.Contains(err.Error(), "127.0.0.2") {
		t.Errorf("Refused = %v, want it to name the address", err)
	}
}

// A file whose sha256 a page gives is fetched once, checked, and kept for the
// next sandbox. A range of it can be asked for, and whether it is another one.
func TestGatewayKeeps(t *testing.T) {
	ix := newIndexServer(t)
	sum := sha256.Sum256([]byte("content of /packages/d.whl"))
	ix.content["/simple/six/"] = fmt.Sprintf("<a href='%s/packages/d.whl#sha256=%s'>d</a> <a href='%[1]s/packages/e.whl#sha256=%[3]s'>e</a>", ix.files.URL, hex.EncodeToString(sum[:]), strings.Repeat("ab", 32))
	dir := t.TempDir()
	of := func(tag, file string) (status int, text string) {
		req, _ := http.NewRequest(http.MethodGet, file, nil)
		req.Header.Set("If-None-Match", tag)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	for try := range 2 {
		url, _, _ := ix.open(t, dir)
		files := links.FindAllStringSubmatch(get(http.DefaultClient, url+"/six/"), -1)
		req, _ := http.NewRequest(http.MethodGet, files[0][1], nil)
		req.Header.Set("Range", "bytes=11-13")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusPartialContent || string(b) != "/pa" {
			t.Errorf("try %d: a range = %d %q", try, resp.StatusCode, b)
		}
		if status, text := of(resp.Header.Get("ETag"), files[0][1]); status != http.StatusNotModified || text != "" {
			t.Errorf("try %d: for a program that has the file = %d %q, want 304", try, status, text)
		}
		if status, text := of(`"1"`, files[0][1]); status != http.StatusOK || text != "content of /packages/d.whl" {
			t.Errorf("try %d: for a program that has another = %d %q, want the file", try, status, text)
		}
		if got := get(http.DefaultClient, files[1][1]); !strings.HasPrefix(got, "502 ") || strings.Contains(got, "content of") {
			t.Errorf("try %d: a file of another sha256 = %q, want 502", try, got)
		}
	}
	fetched := slices.DeleteFunc(ix.asked, func(a string) bool { return !strings.Contains(a, "/d.whl") })
	if len(fetched) != 1 {
		t.Errorf("asked %q, want the file once", fetched)
	}
}

// An answer that breaks off isn't taken for whole.
func TestGatewayBreaksOff(t *testing.T) {
	ix := newIndexServer(t)
	cut := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush() // no length
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	ix.content["/simple/six/"] = "<a href='" + cut.URL + "/x'>x</a>"
	url, _, _ := ix.open(t, "")
	for _, m := range links.FindAllStringSubmatch(get(http.DefaultClient, url+"/six/"), -1) {
		if got := get(http.DefaultClient, m[1]); got == "200 half" {
			t.Errorf("%s = %q, want an error", m[1], got)
		}
	}
}

// The hosts of files are open to the proxy once a page names them, those of other
// links are not.
func TestGatewayLearns(t *testing.T) {
	ix, other := newIndexServer(t), serveTLS(t, echo)
	files := serveTLS(t, echo)
	ix.content["/simple/six/"] = fmt.Sprintf("<a href='%s/six-1.0.tar.gz#sha256=00'>f</a> <a href='%s/project'>home</a>", files.URL, other.URL)
	url, _, x := ix.open(t, "")
	c := through(t, x)
	if got := get(c, files.URL+"/up"); !strings.Contains(got, "Forbidden") {
		t.Errorf("before a page was read: %q, want it refused", got)
	}
	get(http.DefaultClient, url+"/six/")
	if got := get(c, files.URL+"/up"); got != "200 GET /up" {
		t.Errorf("the host of files: %q", got)
	}
	if got := get(c, other.URL+"/up"); !strings.Contains(got, "Forbidden") {
		t.Errorf("the host of a project's page: %q, want it refused", got)
	}
}

// A program that kept a page which an earlier gateway served gets the files that
// it links to all the same, after a look at the page; it can ask whether a page
// is what it was. What no page links to stays closed.
func TestGatewaySeeks(t *testing.T) {
	ix := newIndexServer(t)
	ix.content["/simple/six-x/"] = fmt.Sprintf(`<a href="%s/packages/Six.x-1.0-py3-none-any.whl">w</a> <a href="%[1]s/packages/six_x-1.0.tar.gz">s</a>`, ix.files.URL)
	_, address, _ := ix.open(t, "")
	c := http.DefaultClient
	in := "http://" + address + "/https/" + host(ix.files) + "/packages/"
	for file, want := range map[string]string{
		"Six.x-1.0-py3-none-any.whl.metadata": "200 content of /packages/Six.x-1.0-py3-none-any.whl.metadata",
		"six_x-1.0.tar.gz":                    "200 content of /packages/six_x-1.0.tar.gz",
		"six_x-2.0.tar.gz":                    "403 no page of the index links to this",
		"other-1.0.tar.gz":                    "403 no page of the index links to this",
		"passwd":                              "403 no page of the index links to this",
	} {
		if got := get(c, in+file); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
	if got := get(c, strings.Replace(in, ":"+port(host(ix.files)), "%3A"+port(host(ix.files)), 1)+"six_x-1.0.tar.gz"); !strings.HasPrefix(got, "200 ") {
		t.Errorf("with its colon escaped: %q", got)
	}
	pages := slices.DeleteFunc(ix.asked, func(a string) bool { return !strings.Contains(a, "/simple/six-x/") })
	if len(pages) != 1 {
		t.Errorf("the page was asked for %d times: %q, want once", len(pages), ix.asked)
	}
}

func port(address string) string {
	_, p, _ := net.SplitHostPort(address)
	return p
}

// A page tells how long it is what it is, and is asked for anew as the program
// does.
func TestGatewayAsksAnew(t *testing.T) {
	s := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Content-Type", "text/html")
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, "<a href=x-1.0.tar.gz>x</a>")
	})
	x := newExit(t, egress.Options{})
	g, err := x.Gateway(egress.GatewayOptions{Index: s.URL + "/simple"})
	if err != nil {
		t.Fatal(err)
	}
	url := g.URL(listen(t, g.Serve)) + "/x/"
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Header.Get("ETag") != `"1"` || resp.Header.Get("Cache-Control") != "max-age=600" {
		t.Errorf("the page comes with %v", resp.Header)
	}
	req, _ := http.NewRequest(http.MethodGet, url, nil)
	req.Header.Set("If-None-Match", `"1"`)
	if resp, err = http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotModified {
		t.Errorf("asked anew: %d, want 304", resp.StatusCode)
	}
}

// With Ranges a part of a file that isn't kept is asked of the server.
func TestGatewayRanges(t *testing.T) {
	ix := newIndexServer(t)
	sum := sha256.Sum256([]byte("content of /packages/d.whl"))
	ix.content["/simple/d/"] = fmt.Sprintf("<a href='%s/packages/d.whl#sha256=%s'>d</a>", ix.files.URL, hex.EncodeToString(sum[:]))
	set, err := (*index.Set)(nil).With("a test", index.Index{URL: strings.Replace(ix.URL, "://", "://ann:s3cr3t%2Fp%40ss@", 1) + "/simple"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n, err := egress.Open(t.Context(), egress.Options{Ranges: true, Hosts: []string{host(ix.files)}}, set, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { n.Ports[1].Serve(l); close(done) }()
	at := "http://" + l.Addr().String() + "/https/"
	get(http.DefaultClient, at+host(ix.Server)+"/simple/d/")
	req, _ := http.NewRequest(http.MethodGet, at+host(ix.files)+"/packages/d.whl", nil)
	req.Header.Set("Range", "bytes=11-13")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if kept, _ := os.ReadDir(dir); resp.StatusCode != http.StatusPartialContent || string(b) != "/pa" || len(kept) != 0 {
		t.Errorf("a range = %d %q, and %d files are kept, want none", resp.StatusCode, b, len(kept))
	}
	_ = l.Close()
	<-done
}

// What was not reached is said, with what to do about it, until it is reached.
func TestGatewayUnreached(t *testing.T) {
	_, port, err := net.SplitHostPort(host(servePlain(t, echo)))
	if err != nil {
		t.Fatal(err)
	}
	at := "localhost:" + port
	var down error
	x := newExit(t, egress.Options{Lookup: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, down
	}})
	g, err := x.Gateway(egress.GatewayOptions{Index: "http://" + at + "/simple"})
	if err != nil {
		t.Fatal(err)
	}
	url := g.URL(listen(t, g.Serve)) + "/six/"
	for _, tt := range []struct {
		err        error
		says, hint string
	}{
		{&net.DNSError{Err: "no such host", Name: "localhost"}, at + " was not reached: looking up localhost: lookup localhost: no such host", "name servers"},
		{&tls.CertificateVerificationError{Err: errors.New("unknown authority")}, "unknown authority", "SSL_CERT_FILE"},
		{errors.New("broken"), "broken", "check the network"},
	} {
		down = tt.err
		if got := get(http.DefaultClient, url); !strings.HasPrefix(got, "502 ") {
			t.Errorf("get = %s, want 502", got)
		}
		var missed *egress.UnreachedError
		if err := x.Refused(); !errors.As(err, &missed) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(missed.Hint(), tt.hint) || !errors.Is(err, tt.err) {
			t.Errorf("Refused = %v, want %q and a hint of %s", err, tt.says, tt.hint)
		}
	}
	down = nil
	if got := get(http.DefaultClient, url); !strings.HasPrefix(got, "200 ") || x.Refused() != nil {
		t.Errorf("get = %s, and then Refused = %v", got, x.Refused())
	}
}
