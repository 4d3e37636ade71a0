// SPDX-License-Identifier: Apache-2.0

package output

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"inlay/cache/registry"
)

// An outcome is how a blob came to be in a repository.
type outcome int

const (
	absent  outcome = iota // it isn't: what may not be distributed stays where it is
	moved                  // its bytes were sent
	mounted                // the registry took it from another repository
	present                // it was there
)

// upload makes b part of a target, unless it is known to have it; those before it
// have it already.
func (p *push) upload(ctx context.Context, i int, b blob) (outcome, error) {
	switch {
	case !b.MediaType.IsDistributable():
		return absent, nil
	case p.stock.has(ctx, p.connection, p.targets[i].repo, b.Digest):
		return present, nil
	}
	return p.bring(ctx, i, b)
}

// bring is upload of a blob of which nothing is known.
func (p *push) bring(ctx context.Context, i int, b blob) (outcome, error) {
	c, repo := p.connection, p.targets[i].repo
	r := &reading{Layer: b.layer, size: b.Size, progress: c.Progress}
	layer := p.mountable(i, b, r)
	err := registry.Repeat(ctx, c.Wait, func() error {
		err := c.pusher.Upload(ctx, repo, layer)
		if broken := r.failed(); broken != nil {
			return &sourceError{b.Digest, broken}
		}
		return err
	})
	r.done(err)
	switch {
	case err != nil:
		return absent, explainSend(err, repo)
	case r.began():
		return moved, nil
	case c.log.has(repo, b.Digest):
		return mounted, nil
	default:
		return present, nil
	}
}

// explainSend tells errors of the image's source from those of repo.
func explainSend(err error, repo name.Repository) error {
	var se *sourceError
	if errors.As(err, &se) {
		return se
	}
	return registry.Explain(err, repo, repo.Name())
}

// A sourceError is one of reading a blob that is sent.
type sourceError struct {
	digest v1.Hash
	err    error
}

func (e *sourceError) Error() string { return fmt.Sprintf("reading blob %s: %v", e.digest, e.err) }

// Unwrap returns what went wrong.
func (e *sourceError) Unwrap() error { return e.err }

// mountable returns r as a layer that ggcr tries to mount before it sends it,
// if a repository of the same registry has it: one it was just sent to, or the
// parent's.
func (p *push) mountable(i int, b blob, r *reading) v1.Layer {
	repo := p.targets[i].repo
	for _, t := range p.targets[:i] {
		if t.repo.RegistryStr() == repo.RegistryStr() {
			return &remote.MountableLayer{Layer: r, Reference: t.repo.Digest(b.Digest.String())}
		}
	}
	if m, ok := b.layer.(*remote.MountableLayer); ok && m.Reference.Context().RegistryStr() == repo.RegistryStr() {
		return &remote.MountableLayer{Layer: r, Reference: m.Reference}
	}
	return r
}

// A reading is a layer that tells whether it was read, and how far.
type reading struct {
	v1.Layer
	size     int64
	progress Progress

	mu      sync.Mutex
	started bool
	read    int64 // since it was opened last
	err     error // of the last reading
	add     func(int64)
	finish  func(error)
}

// Compressed opens the layer, which means that it will be sent, perhaps anew.
func (r *reading) Compressed() (io.ReadCloser, error) {
	r.mu.Lock()
	if !r.started {
		h, _ := r.Digest() // for show
		r.started = true
		r.add, r.finish = r.progress.start("pushing "+h.Hex[:min(12, len(h.Hex))], r.size)
	}
	r.add(-r.read)
	r.read, r.err = 0, nil
	r.mu.Unlock()
	rc, err := r.Layer.Compressed()
	if err != nil {
		r.note(err)
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{readerFunc(func(p []byte) (int, error) {
		n, err := rc.Read(p)
		r.advance(int64(n))
		r.note(err)
		return n, err
	}), rc}, nil
}

type readerFunc func([]byte) (int, error)

// Read calls f.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (r *reading) advance(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read += n
	r.add(n)
}

func (r *reading) note(err error) {
	if err == nil || errors.Is(err, io.EOF) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// failed returns the error of the last reading.
func (r *reading) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// began reports whether anything was sent.
func (r *reading) began() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.started
}

func (r *reading) done(err error) {
	if r.began() {
		r.finish(err)
	}
}

// A mountLog carries requests and keeps which blobs were mounted, as ggcr
// doesn't tell.
type mountLog struct {
	base http.RoundTripper
	done sync.Map // of upload path and digest
}

// RoundTrip carries one request.
func (l *mountLog) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.base.RoundTrip(req)
	if err == nil && req.Method == http.MethodPost && resp.StatusCode == http.StatusCreated {
		if digest := req.URL.Query().Get("mount"); digest != "" {
			l.done.Store(req.URL.Host+req.URL.Path+digest, true)
		}
	}
	return resp, err
}

func (l *mountLog) has(repo name.Repository, h v1.Hash) bool {
	_, ok := l.done.Load(repo.RegistryStr() + "/v2/" + repo.RepositoryStr() + "/blobs/uploads/" + h.String())
	return ok
}
