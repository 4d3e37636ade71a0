// SPDX-License-Identifier: Apache-2.0

package output

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"inlay/cache/registry"
)

// Registry delivers to repositories of registries. What goes wrong there comes
// as the errors of package registry.
type Registry struct {
	// Tags are what the image is called, in one repository or several.
	Tags []name.Tag
	// Keychain has the logins; nil has none.
	Keychain authn.Keychain
	// Transport carries the requests; nil means ggcr's.
	Transport http.RoundTripper
	// UserAgent names the program to the registries.
	UserAgent string
	// Wait passes before a failed request is repeated for the first time; 0
	// means half a second.
	Wait time.Duration
	// Jobs is how many blobs are sent at once; 0 means 4.
	Jobs     int
	Progress Progress
}

// Write sends img: the blobs that are not there, then the manifest, then the
// tags. If all tags name the image already, it sends nothing. Blobs of the
// same registry are mounted where it lets them: those of a parent, whose layers
// are *remote.MountableLayer, and those just sent to another repository. So a
// layer of the parent is read only if it is in none of them.
func (r Registry) Write(ctx context.Context, img v1.Image) (Delivered, error) {
	it, err := itemOf(img)
	if err != nil {
		return Delivered{}, err
	}
	repos := r.repositories()
	if len(repos) == 0 {
		return Delivered{}, errors.New("no tag says where to push the image")
	}
	d := Delivered{
		Reference: repos[0].repo.Digest(it.manifest.Digest.String()).String(),
		Digest:    it.manifest.Digest,
	}
	c, err := r.connect(img, it)
	if err != nil {
		return Delivered{}, err
	}
	for _, repo := range repos {
		if err := c.push(ctx, repo, &d); err != nil {
			return Delivered{}, fmt.Errorf("pushing to %s: %w", repo.repo, err)
		}
	}
	return d, nil
}

// A target is a repository with what the image is called in it.
type target struct {
	repo name.Repository
	tags []name.Tag
}

// repositories returns the tags by repository, in the order of the first of
// each.
func (r Registry) repositories() []target {
	var all []target
next:
	for _, tag := range r.Tags {
		for i := range all {
			if all[i].repo == tag.Repository {
				all[i].tags = append(all[i].tags, tag)
				continue next
			}
		}
		all = append(all, target{tag.Repository, []name.Tag{tag}})
	}
	return all
}

// A connection is what one delivery works with.
type connection struct {
	Registry
	img    v1.Image
	it     *item
	log    *mountLog
	puller *remote.Puller
	pusher *remote.Pusher
	sent   []name.Repository // that have all blobs by now
}

func (r Registry) connect(img v1.Image, it *item) (*connection, error) {
	c := &connection{Registry: r, img: img, it: it, log: &mountLog{base: r.Transport}}
	if c.log.base == nil {
		c.log.base = remote.DefaultTransport
	}
	options := registry.Options(registry.Transport(c.log, r.Wait), r.Keychain)
	if r.UserAgent != "" {
		options = append(options, remote.WithUserAgent(r.UserAgent))
	}
	var err error
	if c.puller, err = remote.NewPuller(options...); err != nil {
		return nil, err
	}
	c.pusher, err = remote.NewPusher(options...)
	return c, err
}

// push brings the image and its tags to one repository.
func (c *connection) push(ctx context.Context, t target, d *Delivered) error {
	var missing []name.Tag
	for _, tag := range t.tags {
		there, err := c.names(ctx, tag)
		if err != nil {
			return err
		}
		if !there {
			missing = append(missing, tag)
		}
	}
	digest := t.repo.Digest(c.it.manifest.Digest.String())
	there := len(missing) < len(t.tags)
	if !there {
		var err error
		if there, err = c.names(ctx, digest); err != nil {
			return err
		}
	}
	if there {
		d.Present += len(c.it.blobs)
	} else if err := c.sendAll(ctx, t, digest, d); err != nil {
		return err
	}
	c.sent = append(c.sent, t.repo)
	for _, tag := range missing {
		if err := c.put(ctx, tag); err != nil {
			return err
		}
	}
	return nil
}

// names reports whether ref names the image. This saves work and decides
// nothing: where a registry doesn't say, which many refuse to do for a
// repository that isn't there yet, the push will show.
func (c *connection) names(ctx context.Context, ref name.Reference) (bool, error) {
	d, err := c.puller.Head(ctx, ref)
	if err == nil {
		return d.Digest == c.it.manifest.Digest, nil
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return false, unreachable(registry.Explain(err, ref.Context(), ref.Name()))
}

// unreachable returns err if it says that a registry is not there or does not
// work: nothing else that is asked of it will succeed. An answer that makes no
// sense is no reason to give up.
func unreachable(err error) error {
	var te *transport.Error
	if errors.As(err, &te) {
		if te.StatusCode >= http.StatusInternalServerError || te.StatusCode == http.StatusTooManyRequests {
			return err
		}
		return nil
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		return err
	}
	return nil
}

// sendAll sends the blobs and then the manifest.
func (c *connection) sendAll(ctx context.Context, t target, digest name.Digest, d *Delivered) error {
	results := make([]outcome, len(c.it.blobs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(jobs(c.Jobs))
	for i, b := range c.it.blobs {
		g.Go(func() (err error) {
			results[i], err = c.send(gctx, t.repo, b)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, result := range results {
		switch result {
		case moved:
			d.Moved++
			d.Bytes += c.it.blobs[i].Size
		case mounted:
			d.Mounted++
		case present:
			d.Present++
		case absent:
		}
	}
	return c.put(ctx, digest)
}

func (c *connection) put(ctx context.Context, ref name.Reference) error {
	return registry.Explain(c.pusher.Put(ctx, ref, c.img), ref.Context(), ref.Name())
}

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
	c, err := r.connect(nil, nil)
	if err != nil {
		return nil, err
	}
	states := make([]State, len(blobs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(jobs(r.Jobs))
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
		if there, err = exists(l); err == nil {
			return there, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return false, unreachable(registry.Explain(err, ref.Context(), ref.Name()))
}

// exists asks about the layer itself and not about its wrapping.
func exists(l v1.Layer) (bool, error) {
	if m, ok := l.(*remote.MountableLayer); ok {
		l = m.Layer
	}
	return partial.Exists(l)
}
