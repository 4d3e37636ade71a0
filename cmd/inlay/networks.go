// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/urfave/cli/v2"

	"inlay/assemble/step"
	"inlay/cache"
	"inlay/resolve/egress"
	"inlay/resolve/index"
	"inlay/resolve/python"
	"inlay/resolve/sandbox"
)

// allowHostFlag lets what is in the sandbox reach more than package indexes.
func allowHostFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "allow-host", Usage: "let what a build runs in the sandbox reach `HOST[:PORT]` beside the package indexes; may be given several times"}
}

// outside says what may be reached from the sandbox beside package indexes. It
// returns an error for a host that is none.
func outside(c *cli.Context) (egress.Options, error) {
	o := egress.Options{Hosts: c.StringSlice("allow-host"), Upstream: http.ProxyFromEnvironment}
	x, err := egress.New(o)
	if err != nil {
		return o, fmt.Errorf("--allow-host: %w", err)
	}
	x.Close()
	return o, nil
}

// network opens what a command of the build can reach: the package indexes,
// uv's own if no other is the default, allowed hosts, and hosts of packages that
// the plan names. Without a network there is nothing, and without uv no index of
// its own.
func (j *job) network(ctx context.Context, hosts []string) (step.Network, error) {
	if j.site.images.Offline {
		return step.Network{Refused: func() error { return nil }, Close: func() {}}, nil
	}
	set, err := j.allIndexes(ctx)
	if err != nil {
		return step.Network{}, err
	}
	o := j.site.outside
	o.Public = hosts
	n, err := egress.Open(ctx, o, set, j.site.cache.Path(cache.Wheels))
	if err != nil {
		return step.Network{}, err
	}
	ports := make([]sandbox.Port, len(n.Ports))
	for i, p := range n.Ports {
		ports[i] = sandbox.Port(p)
	}
	asked := func() (all []string) {
		for _, r := range n.Requests() {
			all = append(all, r.String())
		}
		return all
	}
	return step.Network{Env: n.Env, Ports: ports, Refused: n.Refused, Asked: asked, Close: n.Close}, nil
}

// allIndexes returns the indexes of the build with uv's own, if no other is the
// default and there is a uv to say which that is.
func (j *job) allIndexes(ctx context.Context) (*index.Set, error) {
	if j.index.Default() != "" {
		return j.index, nil
	}
	uv, err := python.FindUV(ctx, j.site.find)
	var none *python.NoUVError
	if errors.As(err, &none) {
		return j.index, nil
	}
	if err != nil {
		return nil, err
	}
	return python.WithOwnIndex(ctx, python.Exec{}, uv, j.index)
}
