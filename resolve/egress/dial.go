// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
)

// special are the addresses that are not of the public network (the registries
// of special-purpose addresses, RFC 6890), beside those that netip knows.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // between a provider and its customers
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), // stand for IPv4 addresses, of any kind
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("2001::/32"),
}

// near reports whether an address is of this machine or on its own link, where
// clouds keep the credentials of machines.
func near(a netip.Addr) bool {
	return a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast()
}

// private reports whether an address is of a network that isn't the public one.
func private(a netip.Addr) bool {
	if a.IsPrivate() {
		return true
	}
	for _, p := range special {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// permits reports whether a host may be reached at an address. One that the user
// named may be in a private network. This machine and its link are reached by
// their own addresses only, so that no name leads there.
func (x *Exit) permits(host string, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.names[a.String()]:
		return true
	case near(a):
		return host == "localhost" && a.IsLoopback() && x.names[host]
	default:
		return !private(a) || x.names[host]
	}
}

// dial connects to "HOST:PORT", whose address is looked up here. It returns a
// *PrivateError if no address of it may be reached.
func (x *Exit) dial(ctx context.Context, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	host = canonical(host)
	all, err := x.addresses(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("looking up %s: %w", host, err)
	}
	err = &PrivateError{Host: host, Port: port, Addresses: all}
	for _, a := range all {
		if !x.permits(host, a) {
			continue
		}
		var c net.Conn
		if c, err = (&net.Dialer{Timeout: handshake}).DialContext(ctx, "tcp", net.JoinHostPort(a.String(), port)); err == nil {
			return c, nil
		}
	}
	return nil, err
}

func (x *Exit) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return x.lookup(ctx, host)
}

// RoundTrip sends a request to its host, through this machine's proxy if there
// is one: then the proxy looks up the name, and only a host that is written as an
// address is checked.
func (x *Exit) RoundTrip(req *http.Request) (*http.Response, error) {
	proxy, err := x.proxyFor(req.URL)
	if err != nil {
		return nil, err
	}
	rt := x.direct
	if proxy != nil {
		rt = x.proxied
	}
	count := x.note(Request{Host: hostPort(req.URL), Method: req.Method, Allowed: true})
	if req.Body != nil && req.Body != http.NoBody {
		req = req.Clone(req.Context())
		req.Body = x.counted(req.Body, count)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	x.reach(hostPort(req.URL))
	resp.Body = x.counted(resp.Body, count)
	return resp, nil
}

// proxyFor returns this machine's proxy for u, nil if there is none.
func (x *Exit) proxyFor(u *url.URL) (*url.URL, error) {
	if x.upstream == nil {
		return nil, nil
	}
	proxy, err := x.upstream(&http.Request{URL: u})
	if err != nil { // which has the proxy's URL, and a password in that
		return nil, errors.New("the proxy that this machine's environment names can't be read")
	}
	if proxy == nil {
		return nil, nil
	}
	host := canonical(u.Hostname())
	if a, err := netip.ParseAddr(host); err == nil && !x.permits(host, a) {
		return nil, &PrivateError{Host: host, Port: u.Port(), Addresses: []netip.Addr{a}}
	}
	return proxy, nil
}

// tunnel connects to "HOST:PORT", through this machine's proxy if there is one.
func (x *Exit) tunnel(ctx context.Context, address string) (net.Conn, error) {
	proxy, err := x.proxyFor(&url.URL{Scheme: "https", Host: address})
	if err != nil {
		return nil, err
	}
	if proxy == nil {
		return x.dial(ctx, address)
	}
	c, err := (&net.Dialer{Timeout: handshake}).DialContext(ctx, "tcp", hostPort(proxy))
	if err != nil {
		return nil, err
	}
	if proxy.Scheme == "https" {
		c = tls.Client(c, &tls.Config{ServerName: proxy.Hostname(), MinVersion: tls.VersionTLS12})
	}
	if err := connect(ctx, c, proxy, address); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("asking the proxy %s for %s: %w", hostPort(proxy), address, err)
	}
	return c, nil
}

// connect asks a proxy for a connection to address.
func connect(ctx context.Context, c net.Conn, proxy *url.URL, address string) error {
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if user := proxy.User; user != nil {
		password, _ := user.Password()
		login := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		req.Header.Set("Proxy-Authorization", "Basic "+login)
	}
	if err := req.Write(c); err != nil {
		return err
	}
	// The reader holds nothing back: the client speaks first.
	resp, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it says %s", resp.Status)
	}
	return nil
}
