// SPDX-License-Identifier: Apache-2.0

// Package login finds the logins for registries where this machine keeps them:
// in the files of docker login and podman login and the helper programs they
// name, and for the registries of Amazon, Google, Microsoft and GitHub in what
// those clouds' own tools use. A cloud is asked only for its own registries,
// once, and not for long: a machine that is not in it has to work as well.
package login

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/authn/github"

	"inlay/cache/registry"
)

// defaultTimeout bounds what one cloud may take. Its command line tools need a
// few seconds; a machine outside of it would wait for the answer of a metadata
// server that is not there.
const defaultTimeout = 15 * time.Second

// Options say how the clouds are asked. The zero value will do.
type Options struct {
	Transport http.RoundTripper // carries the requests to Amazon and Microsoft; nil means net/http's
	Timeout   time.Duration     // for the login of one registry; 0 means 15 seconds
}

// Keychain returns the logins of this machine. What docker login or podman
// login wrote comes first. Without a login a registry is spoken to anonymously,
// except those of Amazon, which have nothing for anybody: there the error says
// what AWS's configuration lacks.
func Keychain(o Options) authn.Keychain {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	return authn.NewMultiKeychain(authn.DefaultKeychain, &clouds{
		timeout: o.Timeout,
		known:   map[string]authn.Authenticator{},
		ask: map[registry.Cloud]keychain{
			registry.Amazon:    amazon{o.Transport}.login,
			registry.Google:    google,
			registry.Microsoft: microsoft{o.Transport}.login,
			registry.GitHub: func(_ context.Context, r authn.Resource) (authn.Authenticator, error) {
				return github.Keychain.Resolve(r)
			},
		},
	})
}

// errLate says that a cloud didn't answer in time.
var errLate = errors.New("no answer")

// A keychain returns the login for a registry of its cloud.
type keychain func(ctx context.Context, r authn.Resource) (authn.Authenticator, error)

// clouds are keychains by the cloud whose registries they know.
type clouds struct {
	timeout time.Duration
	ask     map[registry.Cloud]keychain

	mu    sync.Mutex // held while a cloud is asked: the second who wants to know waits
	known map[string]authn.Authenticator
}

// Resolve returns the login for the registry of r.
func (c *clouds) Resolve(r authn.Resource) (authn.Authenticator, error) {
	return c.ResolveContext(context.Background(), r)
}

// ResolveContext returns the login for the registry of r.
func (c *clouds) ResolveContext(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	host := r.RegistryStr()
	ask := c.ask[registry.CloudOf(host)]
	if ask == nil {
		return authn.Anonymous, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.known[host]; a != nil {
		return a, nil
	}
	a, err := bounded(ctx, c.timeout, r, ask)
	switch {
	case errors.Is(err, errLate) && registry.CloudOf(host) == registry.Amazon:
		return nil, fmt.Errorf("no login within %v", c.timeout)
	case errors.Is(err, errLate):
		a = authn.Anonymous
	case err != nil:
		return nil, err
	}
	c.known[host] = a
	return a, nil
}

// bounded asks for at most timeout. The context that ask gets lives on if it
// returns in time: a login may hold it, to be renewed with later. Where Google's
// library waits for a metadata server it heeds no context, so it is left behind.
func bounded(ctx context.Context, timeout time.Duration, r authn.Resource, ask keychain) (authn.Authenticator, error) {
	type answer struct {
		authn.Authenticator
		err error
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer time.AfterFunc(timeout, cancel).Stop()
	defer context.AfterFunc(ctx, cancel)()
	answered := make(chan answer, 1)
	go func() {
		a, err := ask(own, r)
		answered <- answer{a, err}
	}()
	var a answer
	select {
	case a = <-answered:
	case <-own.Done():
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case own.Err() != nil:
		return nil, errLate
	}
	return a.Authenticator, a.err
}
