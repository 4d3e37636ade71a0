// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"

	"inlay/layers/pattern"
	"inlay/resolve/index"
)

// A Network is what programs in a sandbox can reach: package indexes, and the
// hosts of an Exit.
type Network struct {
	*Exit
	Ports []Port
	Env   []string // that tells uv, pip and others of them, NAME=VALUE

	set    *index.Set
	index  []*Gateway // to those of set
	files  string
	serve  func(*Gateway) func(net.Listener)
	direct *Gateway // to single files
	at     string   // where that is
}

// A Port is where a Network is served inside.
type Port struct {
	Inside string // "127.0.0.1:3128"
	Serve  func(net.Listener)
}

// Where programs find the proxy, and the first of the indexes.
const (
	proxyAt    = "127.0.0.1:3128"
	firstIndex = 4000
)

// Open returns the network for one run of programs: the indexes of set, and what
// o names. files is a directory that keeps what the indexes have, by sha256. It
// serves until ctx ends, and its Exit is to be closed.
func Open(ctx context.Context, o Options, set *index.Set, files string) (*Network, error) {
	x, err := New(o)
	if err != nil {
		return nil, err
	}
	n := &Network{Exit: x, Ports: []Port{{proxyAt, func(l net.Listener) { _ = x.Serve(ctx, l) }}}, set: set, files: files}
	n.serve = func(g *Gateway) func(net.Listener) { return func(l net.Listener) { _ = g.Serve(ctx, l) } }
	var inside []string
	for _, e := range set.Indexes() {
		g, err := x.Gateway(GatewayOptions{Index: e.URL, Authorize: set.Transport, Files: files})
		if err != nil {
			return nil, err
		}
		n.index, inside = append(n.index, g), append(inside, g.URL(n.open(g)))
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		n.Env = append(n.Env, name+"=http://"+proxyAt)
	}
	there := set.At(inside)
	n.Env = slices.Concat(n.Env, []string{"NO_PROXY=127.0.0.1,localhost", "no_proxy=127.0.0.1,localhost"}, there.UVEnv(), there.PipEnv())
	return n, nil
}

// File lets a file be reached that the user names by its URL, wherever that
// redirects to, and returns its URL inside, without credentials.
func (n *Network) File(raw string) (string, error) {
	u, err := url.Parse(n.set.Public(raw))
	if err != nil {
		return "", err
	}
	if n.direct == nil {
		n.direct = n.gateway(GatewayOptions{Authorize: n.set.Transport, Files: n.files})
		n.at = n.open(n.direct)
	}
	n.named(u)
	if with, err := url.Parse(raw); err == nil {
		u.Fragment, u.RawFragment = with.Fragment, with.RawFragment
	}
	n.direct.learn(u, link{})
	return inside(n.at, u), nil
}

// open serves a gateway at the next port, and returns where that is.
func (n *Network) open(g *Gateway) string {
	at := fmt.Sprintf("127.0.0.1:%d", firstIndex+len(n.Ports)-1) // the first is the proxy's
	n.Ports = append(n.Ports, Port{at, n.serve(g)})
	return at
}

// Page lets a page that lists files be reached, with these, and returns its URL
// inside.
func (n *Network) Page(raw string) (string, error) {
	g, err := n.Gateway(GatewayOptions{Index: raw, Authorize: n.set.Transport, Files: n.files})
	if err != nil {
		return "", err
	}
	return g.URL(n.open(g)), nil
}

// Study lets the files be reached that an index lists for a project, without
// serving it: for programs that know of an index that nobody tells them.
func (n *Network) Study(ctx context.Context, raw, project string) error {
	g, err := n.Gateway(GatewayOptions{Index: raw})
	if err != nil {
		return err
	}
	g.study(ctx, project)
	return nil
}

var insideURL = pattern.New(`http://127\.0\.0\.1:4\d\d\d/(https?)/([^/\s'"<>()]+)`)

// Outside returns text with the URLs that gateways serve as they are outside.
func Outside(text string) string {
	return insideURL().ReplaceAllStringFunc(text, func(at string) string {
		m := insideURL().FindStringSubmatch(at)
		return m[1] + "://" + unescaped(m[2])
	})
}

func unescaped(host string) string {
	if plain, err := url.PathUnescape(host); err == nil {
		return plain
	}
	return host
}
