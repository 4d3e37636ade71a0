// SPDX-License-Identifier: Apache-2.0

// Package egress is the way out of a sandbox that has a loopback and no other
// network. It listens there and connects from here, only to hosts that were
// named, and at addresses that it has looked up itself: an address of this
// machine, of its neighbours or of a private network is refused unless the user
// named it. What goes through is bounded and recorded. A Gateway serves a
// package index inside without the credentials that it has outside.
package egress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what an Exit lets through.
type Options struct {
	// Hosts may be reached: HOST, which is its ports 443 and 80, or HOST:PORT.
	Hosts []string
	// Public may be reached too, at public addresses only: nobody named them to
	// this program.
	Public []string
	// Bytes may go in and out in all, and each connection may take Time; 0 are
	// 16 GiB and an hour.
	Bytes int64
	Time  time.Duration
	// Upstream names the proxy of this machine for a request, as
	// http.ProxyFromEnvironment does; nil knows none. Where there is one it looks
	// up names, not the Exit.
	Upstream func(*http.Request) (*url.URL, error)
	// Ranges lets gateways ask a server for a part of a file that isn't kept,
	// which can't be checked, in place of fetching all of it.
	Ranges bool
	// Lookup finds the addresses of a host; nil is the system's way.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// An Exit is the way out of one sandbox. Several goroutines may use it.
type Exit struct {
	bytes    int64
	time     time.Duration
	ranges   bool
	upstream func(*http.Request) (*url.URL, error)
	lookup   func(ctx context.Context, host string) ([]netip.Addr, error)
	direct   *http.Transport
	proxied  *http.Transport // by the proxy of this machine
	moved    atomic.Int64

	mu       sync.Mutex
	hosts    map[string]bool // "HOST:PORT" that may be reached
	names    map[string]bool // hosts that the user named: they may be at private addresses
	requests map[Request]*tally
	private  *PrivateError   // the first
	missed   *UnreachedError // the last that was not reached since
}

const (
	maxBytes = 16 << 30
	maxTime  = time.Hour
	// connections are served at a time, and kinds of requests recorded.
	connections = 256
	maxRecords  = 1000
	// others is the host of what is recorded beyond that.
	others = "others"
)

// A Request is what was asked for, and became of it.
type Request struct {
	Host    string // "HOST:PORT"
	Method  string
	Allowed bool
}

// A Record says how often something was asked for.
type Record struct {
	Request
	Count int
	Bytes int64 // in both directions
}

type tally struct {
	count int
	bytes atomic.Int64
}

// New returns an Exit. A host that can't be read is a *HostError.
func New(o Options) (*Exit, error) {
	x := &Exit{
		bytes: cmp.Or(o.Bytes, maxBytes), time: cmp.Or(o.Time, maxTime), ranges: o.Ranges, upstream: o.Upstream, lookup: o.Lookup,
		hosts: map[string]bool{}, names: map[string]bool{}, requests: map[Request]*tally{},
	}
	if x.lookup == nil {
		x.lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	x.direct = &http.Transport{
		DialContext:         func(ctx context.Context, _, address string) (net.Conn, error) { return x.dial(ctx, address) },
		TLSHandshakeTimeout: handshake, IdleConnTimeout: handshake, ResponseHeaderTimeout: time.Minute, ForceAttemptHTTP2: true,
	}
	x.proxied = x.direct.Clone()
	x.proxied.Proxy, x.proxied.DialContext = o.Upstream, nil
	for _, h := range o.Hosts {
		if err := x.name(h); err != nil {
			return nil, err
		}
	}
	for _, h := range o.Public {
		host, ports, err := split(h)
		if err != nil {
			continue // whoever asks for it is refused
		}
		for _, p := range ports {
			x.hosts[net.JoinHostPort(host, p)] = true
		}
	}
	return x, nil
}

// handshake bounds the time to begin a connection.
const handshake = 30 * time.Second

// name lets a host be reached that the user named.
func (x *Exit) name(text string) error {
	host, ports, err := split(text)
	if err != nil {
		return err
	}
	x.names[host] = true
	for _, p := range ports {
		x.hosts[net.JoinHostPort(host, p)] = true
	}
	return nil
}

// split reads HOST or HOST:PORT.
func split(text string) (host string, ports []string, err error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.Trim(text, "[]"), ""
	}
	n, bad := strconv.ParseUint(cmp.Or(port, "443"), 10, 16)
	if _, ip := netip.ParseAddr(host); ip != nil && strings.ContainsAny(host, ":/@*?# []") || host == "" || bad != nil || n == 0 {
		return "", nil, &HostError{text}
	}
	if port == "" {
		return canonical(host), []string{"443", "80"}, nil
	}
	return canonical(host), []string{port}, nil
}

// canonical returns the name of a host as it is compared.
func canonical(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// allows reports whether "HOST:PORT" may be reached.
func (x *Exit) allows(address string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.hosts[address]
}

// learn lets the host of u be reached, at public addresses: a page of an index
// that the user named says that files are there.
func (x *Exit) learn(u *url.URL) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.hosts[hostPort(u)] = true
}

// hostPort returns the "HOST:PORT" of u.
func hostPort(u *url.URL) string {
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	return net.JoinHostPort(canonical(u.Hostname()), port)
}

// note records a request and returns where to count its bytes.
func (x *Exit) note(r Request) *atomic.Int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	t, ok := x.requests[r]
	if !ok && len(x.requests) >= maxRecords {
		r.Host = others
		t, ok = x.requests[r]
	}
	if !ok {
		t = &tally{}
		x.requests[r] = t
	}
	t.count++
	return &t.bytes
}

// Requests returns what was asked for, in the order of hosts.
func (x *Exit) Requests() []Record {
	x.mu.Lock()
	defer x.mu.Unlock()
	var all []Record
	for r, t := range x.requests {
		all = append(all, Record{r, t.count, t.bytes.Load()})
	}
	slices.SortFunc(all, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Method, b.Method), cmp.Compare(btoi(a.Allowed), btoi(b.Allowed)))
	})
	return all
}

// String says for people what was asked for.
func (r Record) String() string {
	if !r.Allowed {
		return fmt.Sprintf("%s (%s, refused)", r.Host, r.Method)
	}
	return fmt.Sprintf("%s (%s, %d×, %d kB)", r.Host, r.Method, r.Count, (r.Bytes+999)/1000)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Refused says what was asked for and not had, as a program in the sandbox may
// have failed for that: nil if there is nothing, else a *DeniedError,
// *PrivateError, *LimitError or *UnreachedError.
func (x *Exit) Refused() error {
	var hosts []string
	for _, r := range x.Requests() {
		if !r.Allowed && r.Host != others && !slices.Contains(hosts, r.Host) && len(hosts) < maxNamed {
			hosts = append(hosts, r.Host)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.private != nil:
		return x.private
	case len(hosts) > 0:
		return &DeniedError{Hosts: hosts}
	case x.moved.Load() > x.bytes:
		return &LimitError{Bytes: x.bytes}
	case x.missed != nil:
		return x.missed
	default:
		return nil
	}
}

// miss records that a host was not reached.
func (x *Exit) miss(host string, err error) {
	if errors.Is(err, context.Canceled) { // whoever asked has gone
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.missed = &UnreachedError{Host: host, Err: err}
}

// reach forgets that a host was not reached before.
func (x *Exit) reach(host string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.missed != nil && x.missed.Host == host {
		x.missed = nil
	}
}

// maxNamed is how many hosts an error names.
const maxNamed = 5

// refuse records that a host isn't reached where it is.
func (x *Exit) refuse(r Request, err *PrivateError) {
	r.Allowed = false
	x.note(r)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.private == nil {
		x.private = err
	}
}

// Close closes the connections that are kept for more requests.
func (x *Exit) Close() {
	x.direct.CloseIdleConnections()
	x.proxied.CloseIdleConnections()
}

// quiet drops what net/http says of single connections.
var quiet = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)

// Serve answers the requests of programs that take l for their proxy, until ctx
// ends: CONNECT, and http URLs. It closes l.
func (x *Exit) Serve(ctx context.Context, l net.Listener) error {
	return serve(ctx, l, http.HandlerFunc(x.proxy))
}

// serve serves h on l until ctx ends, and returns when no request is left.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	room := make(chan struct{}, connections)
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			running.Add(1)
			defer running.Done()
			select {
			case room <- struct{}{}:
				defer func() { <-room }()
				h.ServeHTTP(w, r)
			default:
				http.Error(w, "too many connections at a time", http.StatusServiceUnavailable)
			}
		}),
		ReadHeaderTimeout: handshake, MaxHeaderBytes: 64 << 10, ErrorLog: quiet,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	err := s.Serve(l)
	cancel()
	running.Wait()
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serving the network of a sandbox: %w", err)
}
