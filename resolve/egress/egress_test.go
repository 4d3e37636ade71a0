// SPDX-License-Identifier: Apache-2.0

package egress_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/egress"
	"inlay/resolve/egress/egresstest"
)

// TestMain lets this process trust the servers of net/http/httptest.
func TestMain(m *testing.M) {
	os.Exit(egresstest.Run(m))
}

func newExit(t *testing.T, o egress.Options) *egress.Exit {
	t.Helper()
	x, err := egress.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

// listen serves with run on a port of loopback, as long as the test lasts.
func listen(t *testing.T, run func(context.Context, net.Listener) error) (address string) {
	t.Helper()
	address, _ = listenUntil(t, run)
	return address
}

// listenUntil is listen with a function that ends it.
func listenUntil(t *testing.T, run func(context.Context, net.Listener) error) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// through returns a client that takes x for its proxy.
func through(t *testing.T, x *egress.Exit) *http.Client {
	t.Helper()
	return by(t, listen(t, x.Serve))
}

func by(t *testing.T, address string) *http.Client {
	t.Helper()
	proxy := &url.URL{Scheme: "http", Host: address}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.Proxy = http.ProxyURL(proxy)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// get returns the status and the body of what is at url, or the error.
func get(c *http.Client, url string) string {
	resp, err := c.Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, bytes.TrimSpace(b))
}

func echo(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s%s", r.Method, r.URL.Path, b, strings.Join(r.Header["Proxy-Connection"], ""))
}

func serveTLS(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	return s
}

func servePlain(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func host(s *httptest.Server) string { return s.Listener.Addr().String() }

// What was named is reached by CONNECT and by http URLs, and each request is
// recorded.
func TestProxy(t *testing.T) {
	secure, plain, other := serveTLS(t, echo), servePlain(t, echo), servePlain(t, echo)
	x := newExit(t, egress.Options{Hosts: []string{host(secure), host(plain)}})
	address, stop := listenUntil(t, x.Serve)
	c := by(t, address)
	if got := get(c, secure.URL+"/a"); got != "200 GET /a" {
		t.Errorf("by CONNECT: %q", got)
	}
	if got := get(c, plain.URL+"/b"); got != "200 GET /b" {
		t.Errorf("by an http URL: %q", got)
	}
	resp, err := c.Post(plain.URL+"/c", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(b) != "POST /c body" {
		t.Errorf("POST = %q", b)
	}
	if err := x.Refused(); err != nil {
		t.Errorf("Refused = %v, though nothing was", err)
	}
	if got := get(c, other.URL+"/d"); !strings.HasPrefix(got, "403 ") || !strings.Contains(got, host(other)) {
		t.Errorf("a host that nobody named: %q, want 403 and its name", got)
	}
	secret := "https://files.example.com/token"
	if got := get(c, secret); !strings.Contains(got, "Forbidden") {
		t.Errorf("a host that nobody named, by CONNECT: %q, want Forbidden", got)
	}
	stop()
	got := map[string]int64{}
	for _, r := range x.Requests() {
		got[fmt.Sprintf("%s %s %v %d", r.Method, r.Host, r.Allowed, r.Count)] = min(r.Bytes, 1)
	}
	want := map[string]int64{
		"CONNECT " + host(secure) + " true 1": 1, "GET " + host(plain) + " true 1": 1, "POST " + host(plain) + " true 1": 1,
		"GET " + host(other) + " false 1": 0, "CONNECT files.example.com:443 false 1": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Requests, with 1 for some bytes (-want +got):\n%s", diff)
	}
	var denied *egress.DeniedError
	if err := x.Refused(); !errors.As(err, &denied) {
		t.Fatalf("Refused = %v, want a *DeniedError", err)
	}
	if got, want := denied.Hint(), "to allow that, give `--allow-host "+host(other)+"` `--allow-host files.example.com`"; got != want {
		t.Errorf("Hint = %q, want %q", got, want)
	}
}

// An https URL in the form of an http one is no way around CONNECT, and a
// request without a host means nothing.
func TestProxyOnly(t *testing.T) {
	x := newExit(t, egress.Options{Hosts: []string{"127.0.0.1"}})
	at := listen(t, x.Serve)
	for _, line := range []string{"GET / HTTP/1.1", "GET https://127.0.0.1/ HTTP/1.1", "GET ftp://127.0.0.1/ HTTP/1.1"} {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "%s\r\nHost: x\r\nConnection: close\r\n\r\n", line)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %v, %v, want 400", line, resp, err)
		}
		c.Close()
	}
}

func TestNew(t *testing.T) {
	for _, h := range []string{"", "https://a.example", "a.example/x", "a.example:0", "a.example:99999", "a.example:http", "user@a.example", "a b", "*.example"} {
		var bad *egress.HostError
		if _, err := egress.New(egress.Options{Hosts: []string{h}}); !errors.As(err, &bad) {
			t.Errorf("New with the host %q = %v, want a *HostError", h, err)
		}
	}
	for _, h := range []string{"a.example", "A.example.", "a.example:8443", "10.0.0.1", "10.0.0.1:80", "[::1]:80", "::1", "localhost"} {
		if _, err := egress.New(egress.Options{Hosts: []string{h}}); err != nil {
			t.Errorf("New with the host %q = %v", h, err)
		}
	}
}

// No name leads to this machine or its link, and no name that the user didn't
// give leads into a private network.
func TestPermits(t *testing.T) {
	x := newExit(t, egress.Options{Hosts: []string{"named.example", "127.0.0.1:80", "localhost", "10.1.2.3"}})
	tests := []struct {
		host, address string
		want          bool
	}{
		{"named.example", "93.184.216.34", true},
		{"named.example", "2606:2800:220:1::1", true},
		{"named.example", "10.0.0.7", true},
		{"named.example", "fd00::1", true},
		{"named.example", "100.64.0.1", true},
		{"named.example", "127.0.0.2", false},
		{"named.example", "::1", false},
		{"named.example", "169.254.169.254", false},
		{"named.example", "fe80::1", false},
		{"named.example", "0.0.0.0", false},
		{"named.example", "224.0.0.1", false},
		{"named.example", "::ffff:169.254.169.254", false},
		{"named.example", "127.0.0.1", true}, // that address was named
		{"other.example", "93.184.216.34", true},
		{"other.example", "10.0.0.7", false},
		{"other.example", "10.1.2.3", true},
		{"other.example", "::ffff:10.0.0.7", false},
		{"other.example", "192.168.1.1", false},
		{"other.example", "172.16.0.1", false},
		{"other.example", "fd00::1", false},
		{"other.example", "100.64.0.1", false},
		{"other.example", "0.1.2.3", false},
		{"other.example", "198.18.0.1", false},
		{"other.example", "240.0.0.1", false},
		{"other.example", "255.255.255.255", false},
		{"other.example", "64:ff9b::a9fe:a9fe", false},
		{"other.example", "2002:7f00:1::", false},
		{"localhost", "127.0.0.1", true},
		{"localhost", "::1", true},
		{"localhost", "169.254.169.254", false},
	}
	for _, tt := range tests {
		if got := x.Permits(tt.host, tt.address); got != tt.want {
			t.Errorf("%s at %s: permitted = %v, want %v", tt.host, tt.address, got, tt.want)
		}
	}
}

// A name that leads to this machine is refused, whatever listens there, and the
// error says how to allow it.
func TestNameOfThisMachine(t *testing.T) {
	s := servePlain(t, echo)
	_, port, _ := net.SplitHostPort(host(s))
	x := newExit(t, egress.Options{
		Hosts: []string{"evil.example:" + port},
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		},
	})
	c := through(t, x)
	for _, scheme := range []string{"http", "https"} {
		if got := get(c, scheme+"://evil.example:"+port); !strings.Contains(got, "403") && !strings.Contains(got, "Forbidden") {
			t.Errorf("%s: %q, want it refused", scheme, got)
		}
	}
	var private *egress.PrivateError
	if err := x.Refused(); !errors.As(err, &private) {
		t.Fatalf("Refused = %v, want a *PrivateError", err)
	}
	if got, want := private.Hint(), "to allow that, give `--allow-host 127.0.0.1:"+port+"`"; got != want {
		t.Errorf("Hint = %q, want %q", got, want)
	}
}

// What may be moved and how long a connection lasts is bounded.
func TestLimits(t *testing.T) {
	long := func(w http.ResponseWriter, r *http.Request) {
		for range 64 {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}
	hang := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for _, tt := range []struct {
		name string
		h    http.HandlerFunc
		o    egress.Options
	}{
		{"bytes", long, egress.Options{Bytes: 4 << 20}},
		{"time", hang, egress.Options{Time: 100 * time.Millisecond}},
	} {
		for scheme, start := range map[string]func(*testing.T, http.HandlerFunc) *httptest.Server{"http": servePlain, "https": serveTLS} {
			t.Run(tt.name+" "+scheme, func(t *testing.T) {
				s := start(t, tt.h)
				tt.o.Hosts = []string{host(s)}
				x := newExit(t, tt.o)
				if got := get(through(t, x), s.URL); strings.HasPrefix(got, "200") {
					t.Errorf("%q, want it broken off", got[:20])
				}
				var limit *egress.LimitError
				if err := x.Refused(); tt.name == "bytes" && !errors.As(err, &limit) {
					t.Errorf("Refused = %v, want a *LimitError", err)
				}
			})
		}
	}
}

// Where this machine has a proxy itself, it is asked.
func TestUpstream(t *testing.T) {
	var asked []string
	up := servePlain(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Host+" "+r.Header.Get("Proxy-Authorization"))
		if r.Method != http.MethodConnect {
			fmt.Fprint(w, "from the proxy")
			return
		}
		c, _, _ := http.NewResponseController(w).Hijack()
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
		b := make([]byte, 4)
		_, _ = io.ReadFull(c, b)
		fmt.Fprintf(c, "got %s", b)
		c.Close()
	})
	proxy, _ := url.Parse(strings.Replace(up.URL, "://", "://ann:pw@", 1))
	x := newExit(t, egress.Options{
		Hosts: []string{"a.example", "169.254.169.254", "b.example"}, Upstream: http.ProxyURL(proxy),
		Lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no names here") },
	})
	if got := get(through(t, x), "http://a.example/"); got != "200 from the proxy" {
		t.Errorf("by an http URL: %q", got)
	}
	c, err := net.Dial("tcp", listen(t, x.Serve))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\nping")
	got, _ := io.ReadAll(c)
	if want := "HTTP/1.1 200 Connection Established\r\n\r\ngot ping"; string(got) != want {
		t.Errorf("by CONNECT: %q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{"GET a.example Basic YW5uOnB3", "CONNECT b.example:443 Basic YW5uOnB3"}, asked); diff != "" {
		t.Errorf("the proxy was asked (-want +got):\n%s", diff)
	}
}

// When its context ends Serve returns, and with it what is under way.
func TestServeEnds(t *testing.T) {
	s := serveTLS(t, echo)
	x := newExit(t, egress.Options{Hosts: []string{host(s)}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- x.Serve(ctx, l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", host(s))
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); !strings.Contains(line, "200") {
		t.Fatalf("CONNECT: %q, %v", line, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve = %v", err)
	}
	if _, err := io.ReadAll(r); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the connection: %v, want its end", err)
	}
}

// BenchmarkDownload downloads 100 MB through the proxy and without it, in turn, and
// says how much longer that takes.
func BenchmarkDownload(b *testing.B) {
	content := make([]byte, 100<<20)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }))
	defer s.Close()
	x, err := egress.New(egress.Options{Hosts: []string{s.Listener.Addr().String()}, Bytes: 1 << 50})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() { _ = x.Serve(ctx, l) }()
	download := func(tr *http.Transport) time.Duration {
		begin := time.Now()
		resp, err := (&http.Client{Transport: tr}).Get(s.URL)
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != int64(len(content)) {
			b.Fatal(n, err)
		}
		return time.Since(begin)
	}
	direct, proxied := http.DefaultTransport.(*http.Transport).Clone(), http.DefaultTransport.(*http.Transport).Clone()
	direct.Proxy, proxied.Proxy = nil, http.ProxyURL(&url.URL{Scheme: "http", Host: l.Addr().String()})
	defer direct.CloseIdleConnections()
	defer proxied.CloseIdleConnections()
	b.SetBytes(2 * int64(len(content)))
	var with, without time.Duration
	for b.Loop() {
		without += download(direct)
		with += download(proxied)
	}
	b.ReportMetric(float64(with)/float64(without), "ratio")
}
