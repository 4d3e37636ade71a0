// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"context"
	"fmt"
	"net"
	"slices"

	"inlay/resolve/index"
)

// A Network is what programs in a sandbox can reach: package indexes, and the
// hosts of an Exit.
type Network struct {
	*Exit
	Ports []Port
	Env   []string // that tells uv, pip and others of them, NAME=VALUE
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
	n := &Network{Exit: x, Ports: []Port{{proxyAt, func(l net.Listener) { _ = x.Serve(ctx, l) }}}}
	var inside []string
	for i, e := range set.Indexes() {
		g, err := x.Gateway(GatewayOptions{Index: e.URL, Authorize: set.Transport, Files: files})
		if err != nil {
			return nil, err
		}
		at := fmt.Sprintf("127.0.0.1:%d", firstIndex+i)
		n.Ports = append(n.Ports, Port{at, func(l net.Listener) { _ = g.Serve(ctx, l) }})
		inside = append(inside, g.URL(at))
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		n.Env = append(n.Env, name+"=http://"+proxyAt)
	}
	there := set.At(inside)
	n.Env = slices.Concat(n.Env, []string{"NO_PROXY=127.0.0.1,localhost", "no_proxy=127.0.0.1,localhost"}, there.UVEnv(), there.PipEnv())
	return n, nil
}
