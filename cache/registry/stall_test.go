// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"inlay/cache/registry"
)

// A carrier answers requests without a network, so that synctest's clock goes
// on.
type carrier func(*http.Request) (*http.Response, error)

func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) { return c(r) }

// silent never answers.
func silent(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// slowly returns a body of which a byte comes after each pause, n in all, and
// after that nothing until the request ends.
func slowly(ctx context.Context, pause time.Duration, n int) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		for range n {
			time.Sleep(pause)
			if _, err := w.Write([]byte("x")); err != nil {
				return
			}
		}
		<-ctx.Done()
		w.CloseWithError(ctx.Err())
	}()
	return r
}

// TestStall holds that a silent registry ends a request and a slow one doesn't.
func TestStall(t *testing.T) {
	tests := []struct {
		name string
		send string // the request's body, read slowly if there is one
		pace time.Duration
		base carrier
		want time.Duration // until the error of the last try; 0: no error
		text string
	}{
		{"no answer", "", 0, silent, 5*time.Minute + 15*time.Second/2, "the registry was silent for 1m0s"},
		{"no answer to a blob", "data", 0, silent, 5 * time.Minute, "the registry was silent for 5m0s"},
		{"a blob that is long in the making", "data", time.Hour, func(r *http.Request) (*http.Response, error) {
			_, err := io.Copy(io.Discard, r.Body)
			return &http.Response{StatusCode: 202, Body: http.NoBody}, err
		}, 0, ""},
		{"a body that stops", "", 0, func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: slowly(r.Context(), 50*time.Second, 3)}, nil
		}, 4*time.Hour + time.Minute, "the registry was silent for 1m0s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				err := exchange(t, registry.Transport(tt.base, 0), tt.send, tt.pace)
				if tt.want == 0 {
					if err != nil {
						t.Errorf("the error is %v, want none", err)
					}
					return
				}
				var ne net.Error
				if took := time.Since(begin); took != tt.want || err == nil || err.Error() != tt.text || !errors.As(err, &ne) || !ne.Timeout() {
					t.Errorf("after %v the error is %v, want a timeout %q after %v", took, err, tt.text, tt.want)
				}
				if !registry.Transient(err) {
					t.Errorf("%v is not transient", err)
				}
			})
		})
	}
}

// exchange sends a request and reads the answer, pausing after each byte of
// either.
func exchange(t *testing.T, rt http.RoundTripper, body string, pace time.Duration) error {
	method, send := http.MethodGet, io.Reader(http.NoBody)
	if body != "" {
		method, send = http.MethodPatch, paced{strings.NewReader(body), pace}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://registry.example/v2/", send)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, paced{resp.Body, time.Hour}) // what is done with it takes its time
	return err
}

// paced reads byte by byte, with a pause before each.
type paced struct {
	r     io.Reader
	pause time.Duration
}

func (p paced) Read(b []byte) (int, error) {
	time.Sleep(p.pause)
	return p.r.Read(b[:1])
}
