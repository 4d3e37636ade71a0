// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"inlay/cache/disk"
	"inlay/layers/sleep"
)

const (
	maxSize    = 16 << 30  // bytes of a file whose size isn't known
	bufferSize = 128 << 10 // of a read
)

// stallTime is how long a server may be silent.
const stallTime = time.Minute

var errStalled = fmt.Errorf("the server sent nothing for %v", stallTime)

// A transfer brings one file into dst.
type transfer struct {
	file      File
	src       *source
	transport http.RoundTripper
	dst       *disk.Pending
	hash      hash.Hash // of the n bytes in dst
	n         int64
	seen      int64 // most bytes there ever were in dst; these were reported
	report    func(n int64)

	validator string // If-Range field (RFC 9110, 13.1.5) that names the version in dst, or ""
	resumed   bool   // dst was put together from several answers
	scratch   bool   // resuming gave the wrong bytes: begin anew each time
}

// run fills dst with bytes that have the file's digest.
func (t *transfer) run(ctx context.Context) error {
	attempt := t.download
	if t.src.url == nil {
		attempt = t.copyLocal
	}
	for failures := 0; ; {
		seen := t.seen
		err := attempt(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("fetching %s: %w", t.file.Name, ctx.Err())
		}
		if t.seen-seen >= enoughProgress {
			failures = 0
		}
		failures++
		wait, again := pause(err, failures)
		if !again {
			return t.explain(err)
		}
		if err := sleep.For(ctx, wait); err != nil {
			return fmt.Errorf("fetching %s: %w", t.file.Name, err)
		}
	}
}

// download asks the server once for what is missing in dst.
func (t *transfer) download(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(stallTime, func() { cancel(errStalled) })
	defer stall.Stop()

	extra := http.Header{}
	if t.n > 0 && t.validator != "" && !t.scratch {
		extra.Set("Range", fmt.Sprintf("bytes=%d-", t.n))
		extra.Set("If-Range", t.validator)
	}
	resp, err := t.src.get(ctx, t.transport, extra)
	if err != nil {
		return stalled(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := t.begin(resp, extra.Get("Range") != ""); err != nil {
		return err
	}
	alive := func() error { stall.Reset(stallTime); return nil }
	if err := t.copy(resp.Body, alive); err != nil {
		return stalled(ctx, err)
	}
	return t.check()
}

// stalled returns errStalled in place of the error that giving up led to.
func stalled(ctx context.Context, err error) error {
	if context.Cause(ctx) == errStalled {
		return errStalled
	}
	return err
}

// begin looks at the head of an answer and makes dst ready for its body.
func (t *transfer) begin(resp *http.Response, asked bool) error {
	switch {
	case resp.StatusCode == http.StatusPartialContent && asked && startsAt(resp, t.n):
		t.resumed = true
	case resp.StatusCode == http.StatusOK:
		if err := t.restart(); err != nil {
			return err
		}
		t.validator = validator(resp.Header)
	case asked && (resp.StatusCode == http.StatusPartialContent || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable):
		t.scratch = true
		return &cutError{t.statusError(resp)}
	default:
		return t.statusError(resp)
	}
	if size := t.n + resp.ContentLength; resp.ContentLength >= 0 && t.file.Size > 0 && size != t.file.Size {
		return t.mismatch("has %d bytes, not %d", size, t.file.Size)
	}
	return nil
}

// restart empties dst.
func (t *transfer) restart() error {
	if err := t.dst.Truncate(0); err != nil {
		return &finalError{err}
	}
	if _, err := t.dst.Seek(0, io.SeekStart); err != nil {
		return &finalError{err}
	}
	t.hash.Reset()
	t.n, t.resumed = 0, false
	return nil
}

// copy appends body to dst. It calls alive after each read.
func (t *transfer) copy(body io.Reader, alive func() error) error {
	limit := t.file.Size
	if limit == 0 {
		limit = maxSize
	}
	buf := make([]byte, bufferSize)
	for {
		n, err := body.Read(buf)
		if t.n+int64(n) > limit {
			return t.mismatch("has more than %d bytes", limit)
		}
		if err := t.append(buf[:n]); err != nil {
			return err
		}
		if err == io.EOF {
			return nil
		}
		if err = errors.Join(err, alive()); err != nil {
			return err
		}
	}
}

func (t *transfer) append(b []byte) error {
	if _, err := t.dst.Write(b); err != nil {
		return &finalError{fmt.Errorf("storing it: %w", err)}
	}
	_, _ = t.hash.Write(b) // a hash takes everything
	t.n += int64(len(b))
	if t.n > t.seen {
		t.report(t.n - t.seen)
		t.seen = t.n
	}
	return nil
}

// check compares what is in dst with what was asked for.
func (t *transfer) check() error {
	if t.n < t.file.Size {
		return &cutError{t.problem("has %d bytes, not %d", t.n, t.file.Size)}
	}
	if got := hex.EncodeToString(t.hash.Sum(nil)); got != t.file.Digest.Hex {
		return t.mismatch("has sha256 %s, not %s", got, t.file.Digest.Hex)
	}
	return nil
}

// mismatch returns a problem that is final unless the file was put together
// from several answers: then it is tried once more in one piece.
func (t *transfer) mismatch(format string, args ...any) error {
	err := t.problem(format, args...)
	if t.resumed {
		t.scratch = true
		return &cutError{err}
	}
	return err
}

// copyLocal copies a file of this machine.
func (t *transfer) copyLocal(ctx context.Context) error {
	info, err := os.Stat(t.src.path)
	if err != nil {
		return &finalError{err}
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return &finalError{fmt.Errorf("%s is not a regular file", t.src.path)}
	}
	f, err := os.Open(t.src.path)
	if err != nil {
		return &finalError{err}
	}
	defer func() { _ = f.Close() }()
	if err := t.copy(f, ctx.Err); err != nil {
		return &finalError{err}
	}
	if err := t.check(); err != nil {
		return &finalError{err}
	}
	return nil
}

// startsAt reports whether the body of a partial answer begins at byte n.
func startsAt(resp *http.Response, n int64) bool {
	return strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", n))
}

// validator returns what may stand in If-Range: a strong ETag or, without one,
// the date of the last change.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return h.Get("Last-Modified")
}
