// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// A pong is a registry's answer to a ping in plain HTTP. It is kept for the pings of
// ggcr, which asks for each repository how to log in.
type pong struct {
	resp http.Response
	body []byte
}

// to returns the answer as one to req.
func (p *pong) to(req *http.Request) *http.Response {
	resp := p.resp
	resp.Header, resp.Body, resp.Request = resp.Header.Clone(), io.NopCloser(bytes.NewReader(p.body)), req
	return &resp
}

// ping asks the host of req in plain HTTP whether it is a registry, and keeps the
// answer of one. Whatever else it says, also that it speaks TLS, is a no.
func (p *plain) ping(req *http.Request) bool {
	const patience, most = 300 * time.Millisecond, 64 << 10 // as long as ggcr waits for TLS alone
	ctx, cancel := context.WithTimeout(req.Context(), patience)
	defer cancel()
	ping, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+req.URL.Host+"/v2/", http.NoBody)
	if err != nil {
		return false
	}
	ping.Header.Set("User-Agent", req.UserAgent())
	resp, err := p.base.RoundTrip(ping)
	if err != nil {
		return false
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil || len(body) > most || resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusUnauthorized {
		return false
	}
	p.pongs.Store(req.URL.Host, &pong{*resp, body})
	return true
}

// isPing reports whether req asks in plain HTTP what ping asks.
func isPing(req *http.Request) bool {
	return req.Method == http.MethodGet && req.URL.Scheme == "http" && req.URL.Path == "/v2/" && req.URL.RawQuery == "" &&
		req.Header.Get("Authorization") == ""
}

// pingable reports whether TLS and plain HTTP reach the same port of this machine.
// Without a port in the URL they are two services.
func pingable(u *url.URL) bool {
	return u.Port() != "" && u.Port() != "443" && onLoopback(u.Hostname())
}

// onLoopback reports whether a host is this machine, where nobody listens in and
// registries hardly ever speak TLS.
func onLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
