// SPDX-License-Identifier: Apache-2.0

package output

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"inlay/cache/registry"
)

// uploads is how many blobs are sent at once, as many as skopeo and podman send.
const uploads = 6

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
	// Jobs is how many blobs are sent at once; 0 means 6.
	Jobs int
	// Recently says whether what Reach heard can count when the image is brought: it
	// is new enough, and nothing else of this program goes there. Nil is no.
	Recently func() bool
	Progress Progress

	kept func() (*connection, error) // shared connections
}

// Keep returns r, whose fields are to stay as they are, with connections that all
// its methods share, so that a registry is asked once to let one in.
func (r Registry) Keep() Registry {
	r.kept = sync.OnceValues(r.connect)
	return r
}

// Begin starts a delivery. An image whose tags all name it already is not sent.
// Blobs of the same registry are mounted where it lets them: those of a parent,
// whose layers are *remote.MountableLayer, and those just sent to another
// repository. So a layer of the parent is read only if it is in none of them.
func (r Registry) Begin() (Delivery, error) {
	if len(r.Tags) == 0 {
		return nil, errors.New("no tag says where to push the image")
	}
	c, err := r.connection()
	if err != nil {
		return nil, err
	}
	targets := r.repositories()
	return &push{connection: c, targets: targets, slots: make(slots, r.jobs()), sent: &ledger[outcome]{}, stock: newStock(targets)}, nil
}

// Write sends img: the blobs that are not there, then the manifest, then the
// tags.
func (r Registry) Write(ctx context.Context, img v1.Image) (Delivered, error) {
	return write(ctx, r.Begin, img)
}

func (r Registry) jobs() int {
	if r.Jobs < 1 {
		return uploads
	}
	return r.Jobs
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
		all = append(all, target{repo: tag.Repository, tags: []name.Tag{tag}})
	}
	return all
}

// A connection is what registries are talked to with.
type connection struct {
	Registry
	log    *mountLog
	puller *remote.Puller
	pusher *remote.Pusher
	heard  sync.Map // what Reach heard that a name.Tag names, a v1.Hash
}

func (r Registry) connection() (*connection, error) {
	if r.kept != nil {
		return r.kept()
	}
	return r.connect()
}

func (r Registry) connect() (*connection, error) {
	c := &connection{Registry: r, log: &mountLog{base: r.Transport}}
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

// Reach fails if a registry isn't there or does not work, so that this is known
// before anything is made.
func (r Registry) Reach(ctx context.Context) error {
	c, err := r.connection()
	if err != nil {
		return err
	}
	for _, t := range r.repositories() {
		named, err := c.digest(ctx, t.tags[0])
		if err != nil {
			return fmt.Errorf("pushing to %s: %w", t.repo, err)
		}
		c.heard.Store(t.tags[0], named)
	}
	return nil
}

// digest returns what ref names, the zero Hash if that isn't known. Knowing it
// saves work and decides nothing: where a registry doesn't say, which many
// refuse to do for a repository that isn't there yet, the push will show.
func (c *connection) digest(ctx context.Context, ref name.Reference) (v1.Hash, error) {
	d, err := c.puller.Head(ctx, ref)
	if err == nil {
		return d.Digest, nil
	}
	if err := ctx.Err(); err != nil {
		return v1.Hash{}, err
	}
	return v1.Hash{}, unreachable(registry.Explain(err, ref.Context(), ref.Name()))
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
