// SPDX-License-Identifier: Apache-2.0

package output

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"inlay/cache/registry"
)

// A State says what a push would do with a blob.
type State int

// The states of a blob.
const (
	Missing   State = iota // it would be moved
	Mountable              // the registry has it in another repository
	Present                // it is there
)

// A Blob is a blob that may be pushed.
type Blob struct {
	Digest v1.Hash
	// From is a repository that has it and that it can be mounted from if it
	// is of the same registry. The zero value is none.
	From name.Repository
}

// Check tells what Write would do with blobs, without moving any: the states
// are in their order. Of several repositories, the one that lacks most decides.
// Where a registry doesn't let one look, blobs count as missing.
func (r Registry) Check(ctx context.Context, blobs []Blob) ([]State, error) {
	c, err := r.connection()
	if err != nil {
		return nil, err
	}
	states := make([]State, len(blobs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.jobs())
	for i, b := range blobs {
		g.Go(func() (err error) {
			states[i], err = c.stateIn(gctx, b)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("asking what a push would move: %w", err)
	}
	return states, nil
}

// stateIn returns the least of b's states in the repositories.
func (c *connection) stateIn(ctx context.Context, b Blob) (State, error) {
	least := Present
	for _, t := range c.repositories() {
		s, err := c.state(ctx, t.repo, b)
		if err != nil {
			return Missing, err
		}
		least = min(least, s)
	}
	return least, nil
}

func (c *connection) state(ctx context.Context, repo name.Repository, b Blob) (State, error) {
	if there, err := c.has(ctx, repo, b.Digest); there || err != nil {
		return Present, err
	}
	if b.From.RepositoryStr() == "" || b.From.RegistryStr() != repo.RegistryStr() {
		return Missing, nil
	}
	there, err := c.has(ctx, b.From, b.Digest)
	if there {
		return Mountable, err
	}
	return Missing, err
}

func (c *connection) has(ctx context.Context, repo name.Repository, h v1.Hash) (bool, error) {
	ref := repo.Digest(h.String())
	l, err := c.puller.Layer(ctx, ref)
	if err == nil {
		var there bool
		if there, err = registry.Exists(l); err == nil {
			return there, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return false, unreachable(registry.Explain(err, ref.Context(), ref.Name()))
}
