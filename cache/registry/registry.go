// SPDX-License-Identifier: Apache-2.0

// Package registry makes talking to image registries dependable. A request
// that may be repeated is repeated while the registry is busy or the
// connection breaks, as long as the registry asks to wait; what still goes
// wrong is told by its kind, with what to do about it.
package registry

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"inlay/layers/sleep"
)

const (
	tries       = 5
	defaultWait = 500 * time.Millisecond
	// A registry that asks to wait longer is out of order for this build.
	longestWait = time.Minute
	// What is read of an answer that is thrown away, so that its connection
	// can be used again.
	drained = 64 << 10
)

// Transport returns a transport that repeats requests with no body, and those
// that put a manifest: five times in all, first after wait (0 means half a
// second), then after twice as long each time, or when the registry says so in
// Retry-After. Parts of blobs are not repeated, as only a new upload makes them
// good: see Repeat. A registry that is silent for a minute, or for five after it
// was sent something, is taken for a broken connection. A nil base means the one
// that ggcr uses.
func Transport(base http.RoundTripper, wait time.Duration) http.RoundTripper {
	if base == nil {
		base = remote.DefaultTransport
	}
	return &repeater{base: watchdog{base}, wait: wait}
}

// Options are what ggcr's remote package needs to work over t, a Transport,
// with the credentials of keys, nil meaning none. It is told not to repeat
// requests on its own as well, which would multiply the tries and, as its waits
// heed no context, hold up the end of a build.
func Options(t http.RoundTripper, keys authn.Keychain) []remote.Option {
	o := []remote.Option{
		remote.WithTransport(t),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
	}
	if keys != nil {
		o = append(o, remote.WithAuthFromKeychain(keychain{keys}))
	}
	return o
}

type repeater struct {
	base http.RoundTripper
	wait time.Duration
}

// RoundTrip sends req until it gets an answer that waiting doesn't better.
func (r *repeater) RoundTrip(req *http.Request) (*http.Response, error) {
	pause := first(r.wait)
	for try := 1; ; try++ {
		resp, err := r.base.RoundTrip(req)
		if try == tries || !repeatable(req) || !worthRepeating(resp, err) {
			return resp, err
		}
		asked, ok := askedPause(resp)
		if asked > longestWait {
			return resp, err
		}
		if !ok {
			asked = pause
		}
		if resp != nil {
			_, _ = io.CopyN(io.Discard, resp.Body, drained)
			_ = resp.Body.Close()
		}
		if err := sleep.For(req.Context(), asked); err != nil {
			return nil, err
		}
		if req, err = again(req); err != nil {
			return nil, err
		}
		pause *= 2
	}
}

func repeatable(req *http.Request) bool {
	if req.Body == nil || req.Body == http.NoBody {
		return true
	}
	return req.Method == http.MethodPut && req.GetBody != nil && strings.Contains(req.URL.Path, "/manifests/")
}

func worthRepeating(resp *http.Response, err error) bool {
	if err != nil {
		return Transient(err)
	}
	return busy(resp.StatusCode)
}

// again returns req with its body from the beginning.
func again(req *http.Request) (*http.Request, error) {
	if req.GetBody == nil {
		return req, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	next := req.Clone(req.Context())
	next.Body = body
	return next, nil
}

// askedPause returns how long the registry wants to be left alone (RFC 9110,
// section 10.2.3). A date counts from the answer's own.
func askedPause(resp *http.Response) (time.Duration, bool) {
	if resp == nil {
		return 0, false
	}
	text := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0, false
	}
	return max(until.Sub(now), 0), true
}

// Repeat calls f until it succeeds, fails for a reason that another call
// doesn't better, or has been called five times. It waits in between as
// Transport does, and repeats what Transport can't: the upload of a blob.
func Repeat(ctx context.Context, wait time.Duration, f func() error) error {
	pause := first(wait)
	for try := 1; ; try++ {
		err := f()
		if err == nil || try == tries || ctx.Err() != nil || !broken(err) {
			return err
		}
		if err := sleep.For(ctx, pause); err != nil {
			return err
		}
		pause *= 2
	}
}

// broken reports whether err says that sending a part of a blob failed, or
// that the registry lost an upload, in a way that a new upload may better.
func broken(err error) bool {
	var te *transport.Error
	if errors.As(err, &te) {
		for _, d := range te.Errors {
			if d.Code == transport.BlobUploadUnknownErrorCode || d.Code == transport.BlobUploadInvalidErrorCode {
				return true
			}
		}
		return busy(te.StatusCode) && te.Request != nil && te.Request.Method == http.MethodPatch
	}
	return Transient(err)
}

// Transient reports whether err is a break of the connection, which may be
// gone the next time: a reset, an early end, a time-out.
func Transient(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	for _, target := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.IsTemporary || dns.IsTimeout
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return false // nobody is there
	}
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// busy reports whether status says that the same request may succeed later.
func busy(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

func first(wait time.Duration) time.Duration {
	if wait == 0 {
		return defaultWait
	}
	return wait
}

// Exists asks the registry of a layer of ggcr's whether it has it. Of one that can
// be mounted it asks about the layer itself: its wrapping doesn't know.
func Exists(l v1.Layer) (bool, error) {
	if m, ok := l.(*remote.MountableLayer); ok {
		l = m.Layer
	}
	return partial.Exists(l)
}
