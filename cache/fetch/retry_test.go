// SPDX-License-Identifier: Apache-2.0

package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"inlay/cache/fetch"
)

var quiet = log.New(io.Discard, "", 0)

// counter counts requests.
type counter struct{ n int }

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n++
	return http.DefaultTransport.RoundTrip(r)
}

type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answer makes an answer without a network, so that synctest's clock goes on.
func answer(code int, body io.Reader, fields ...string) *http.Response {
	resp := &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(body), ContentLength: -1}
	for _, f := range fields {
		k, v, _ := strings.Cut(f, ": ")
		resp.Header.Set(k, v)
	}
	return resp
}

// silence is a body of which nothing comes until the request is dropped.
type silence struct{ ctx context.Context }

func (s silence) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// drip is a body of which one byte comes every 50 seconds.
type drip struct {
	ctx  context.Context
	rest []byte
}

func (d *drip) Read(b []byte) (int, error) {
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-time.After(50 * time.Second):
	}
	b[0], d.rest = d.rest[0], d.rest[1:]
	return 1, nil
}

// How long it takes until the tool gives up or gets through, by a clock that
// runs only while everything waits.
func TestPauses(t *testing.T) {
	t.Parallel()
	const date = "Date: Mon, 02 Jan 2006 15:04:05 GMT"
	tests := []struct {
		name    string
		answer  func(n int, r *http.Request) (*http.Response, error) // to request n, from 1 on
		took    time.Duration
		asked   int
		problem string // part of the error, or ""
	}{
		{
			"no connection",
			func(int, *http.Request) (*http.Response, error) { return nil, errors.New("connection refused") },
			7500 * time.Millisecond, 5, "connection refused",
		}, {
			"500 for ever",
			func(int, *http.Request) (*http.Response, error) { return answer(500, http.NoBody), nil },
			7500 * time.Millisecond, 5, "500 Internal Server Error",
		}, {
			"always cut at the same place",
			func(int, *http.Request) (*http.Response, error) {
				return answer(200, bytes.NewReader(content[:9])), nil
			},
			7500 * time.Millisecond, 5, "has 9 bytes, not 320000",
		}, {
			"503 with seconds",
			func(n int, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return answer(503, http.NoBody, "Retry-After: 90"), nil
				}
				return answer(200, bytes.NewReader(content)), nil
			},
			90 * time.Second, 2, "",
		}, {
			"503 with a date",
			func(n int, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return answer(503, http.NoBody, date, "Retry-After: Mon, 02 Jan 2006 15:04:25 GMT"), nil
				}
				return answer(200, bytes.NewReader(content)), nil
			},
			20 * time.Second, 2, "",
		}, {
			"503 with nonsense",
			func(n int, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return answer(503, http.NoBody, date, "Retry-After: -1"), nil
				}
				return answer(200, bytes.NewReader(content)), nil
			},
			500 * time.Millisecond, 2, "",
		}, {
			"silence for ever",
			func(_ int, r *http.Request) (*http.Response, error) { return answer(200, silence{r.Context()}), nil },
			5*time.Minute + 7500*time.Millisecond, 5, "the server sent nothing for 1m0s",
		}, {
			"silence before the answer",
			func(n int, r *http.Request) (*http.Response, error) {
				if n == 1 {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return answer(200, bytes.NewReader(content)), nil
			},
			time.Minute + 500*time.Millisecond, 2, "",
		}, {
			"slow but alive",
			func(_ int, r *http.Request) (*http.Response, error) {
				return answer(200, io.MultiReader(&drip{r.Context(), content[:10]}, bytes.NewReader(content[10:]))), nil
			},
			500 * time.Second, 1, "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				var asked int
				s := &fetch.Store{Dir: dir, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					asked++
					return tt.answer(asked, r)
				})}
				begun := time.Now()
				err := open(t, s, wheel("https://example.com/demo.whl"))
				if took := time.Since(begun); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if asked != tt.asked {
					t.Errorf("asked %d times, want %d", asked, tt.asked)
				}
				if tt.problem == "" && err != nil || tt.problem != "" && (err == nil || !strings.Contains(err.Error(), tt.problem)) {
					t.Errorf("Open = %v, want %q", err, tt.problem)
				}
			})
		})
	}
}

// A long download over a bad line gets through as long as each attempt brings
// something new.
func TestManyCuts(t *testing.T) {
	t.Parallel()
	const piece, pieces = 1 << 20, 8
	big := bytes.Repeat([]byte("0123456789abcdef"), piece*pieces/16)
	f := fetch.File{Name: "big.whl", URL: "https://example.com/big.whl", Digest: digest(big), Size: piece * pieces}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var asked int
		s := &fetch.Store{Dir: dir, Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			start := piece * asked
			asked++
			var body io.Reader = bytes.NewReader(big[start : start+piece])
			if asked < pieces {
				body = io.MultiReader(body, iotest.ErrReader(errors.New("connection reset by peer")))
			}
			if asked == 1 {
				return answer(200, body, `ETag: "v1"`), nil
			}
			return answer(206, body, fmt.Sprintf("Content-Range: bytes %d-%d/%d", start, f.Size-1, f.Size)), nil
		})}
		file, err := s.Open(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		if asked != pieces {
			t.Errorf("asked %d times, want %d", asked, pieces)
		}
	})
}

func TestPauseIsCancelled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &fetch.Store{Dir: dir, Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return answer(503, http.NoBody, "Retry-After: 60"), nil
		})}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begun := time.Now()
		err := openFor(ctx, t, s, wheel("https://example.com/demo.whl"))
		if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second {
			t.Errorf("Open = %v after %v, want context.DeadlineExceeded after 10s", err, took)
		}
	})
}
