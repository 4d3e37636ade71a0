// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// How long a registry may be silent. It may think longer about what it was
// sent, as some move a large blob to its place before they answer.
const (
	stallTime = time.Minute
	thinkTime = 5 * time.Minute
)

// A stallError reports a registry that keeps a connection and says nothing. It
// is a net.Error.
type stallError struct{ after time.Duration }

func (e *stallError) Error() string {
	return fmt.Sprintf("the registry was silent for %v", e.after)
}

// Timeout says that time ran out.
func (e *stallError) Timeout() bool { return true }

// Temporary says that another try may do better.
func (e *stallError) Temporary() bool { return true }

// A watchdog ends requests in which nothing moves.
type watchdog struct{ base http.RoundTripper }

// RoundTrip carries one request. Time counts only while the registry is waited
// for, not while the request's body is made or the answer's is put to use.
func (w watchdog) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	next := req.Clone(ctx)
	limit := stallTime
	if req.Body != nil && req.Body != http.NoBody || req.Method == http.MethodPut {
		limit = thinkTime
	}
	g := newGuard(ctx, cancel, limit)
	if req.Body != nil && req.Body != http.NoBody {
		next.Body = &sending{req.Body, g}
	}
	g.start()
	resp, err := w.base.RoundTrip(next)
	g.end()
	if err != nil {
		cancel(nil)
		return nil, g.explain(err)
	}
	resp.Body = &receiving{resp.Body, newGuard(ctx, cancel, stallTime)}
	return resp, nil
}

// A guard cancels a request when its time runs out.
type guard struct {
	ctx    context.Context //nolint:containedctx // the request's
	cancel context.CancelCauseFunc
	limit  time.Duration

	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

// newGuard returns a guard that sleeps.
func newGuard(ctx context.Context, cancel context.CancelCauseFunc, limit time.Duration) *guard {
	g := &guard{ctx: ctx, cancel: cancel, limit: limit}
	g.timer = time.AfterFunc(limit, func() { cancel(&stallError{limit}) })
	g.timer.Stop()
	return g
}

// start gives the request its whole time again.
func (g *guard) start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ended {
		g.timer.Reset(g.limit)
	}
}

// rest stops the clock.
func (g *guard) rest() { g.timer.Stop() }

// end stops the clock for good: a body may be read even after the answer came.
func (g *guard) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	g.timer.Stop()
}

// explain returns the stall in place of the error that it led to.
func (g *guard) explain(err error) error {
	var stall *stallError
	if errors.As(context.Cause(g.ctx), &stall) {
		return stall
	}
	return err
}

// A sending body makes the time begin anew with each part that was taken.
type sending struct {
	io.ReadCloser
	guard *guard
}

// Read reads the next part, which takes the time it takes.
func (s *sending) Read(p []byte) (int, error) {
	s.guard.rest()
	n, err := s.ReadCloser.Read(p)
	s.guard.start()
	return n, err
}

// A receiving body fails when nothing comes for too long.
type receiving struct {
	io.ReadCloser
	guard *guard
}

// Read waits for the next part.
func (r *receiving) Read(p []byte) (int, error) {
	r.guard.start()
	n, err := r.ReadCloser.Read(p)
	r.guard.rest()
	if err != nil && err != io.EOF {
		err = r.guard.explain(err)
	}
	return n, err
}

// Close ends the request.
func (r *receiving) Close() error {
	r.guard.end()
	err := r.ReadCloser.Close()
	r.guard.cancel(nil)
	return err
}
