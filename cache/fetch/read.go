// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"inlay/layers/sleep"
)

// Read returns what the URL of f holds, which must be at most limit bytes. It
// is for the few files whose digest nobody can know before, because it changes:
// nothing was checked, nothing is kept, and the digest of f is ignored. The
// caller must check a signature before it believes a word. Errors and repeated
// attempts are those of Open.
func (s *Store) Read(ctx context.Context, f File, limit int64) ([]byte, error) {
	src, err := parse(f)
	if err != nil {
		return nil, err
	}
	if s.Offline && src.url != nil {
		return nil, &OfflineError{Name: f.Name, URL: src.shown}
	}
	t := &transfer{file: f, src: src, transport: s.Transport}
	if t.transport == nil {
		t.transport = http.DefaultTransport
	}
	for failures := 1; ; failures++ {
		b, err := t.read(ctx, limit)
		if err == nil {
			return b, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("fetching %s: %w", f.Name, ctx.Err())
		}
		wait, again := pause(err, failures)
		if !again {
			return nil, t.explain(err)
		}
		if err := sleep.For(ctx, wait); err != nil {
			return nil, fmt.Errorf("fetching %s: %w", f.Name, err)
		}
	}
}

// read tries once to read the source.
func (t *transfer) read(ctx context.Context, limit int64) ([]byte, error) {
	if t.src.url == nil {
		file, err := os.Open(t.src.path)
		if err != nil {
			return nil, &finalError{err}
		}
		defer func() { _ = file.Close() }()
		return t.readAll(file, limit)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(stallTime, func() { cancel(errStalled) })
	defer stall.Stop()
	resp, err := t.src.get(ctx, t.transport, http.Header{})
	if err != nil {
		return nil, stalled(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, t.statusError(resp)
	}
	b, err := t.readAll(resp.Body, limit)
	if err != nil {
		return nil, stalled(ctx, err)
	}
	return b, nil
}

func (t *transfer) readAll(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = t.problem("has more than %d bytes", limit)
	}
	return b, err
}
