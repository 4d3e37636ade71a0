// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"inlay/cache/registry"
)

// A listening socket counts the connections that begin as those of TLS do. A mute
// one says nothing on others.
type listening struct {
	net.Listener
	mute bool
	tls  *atomic.Int32
}

func (l listening) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &listened{Conn: c, l: l}, err
}

type listened struct {
	net.Conn
	l    listening
	once sync.Once
}

func (c *listened) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.once.Do(func() {
		const handshake = 22
		if n > 0 && b[0] == handshake {
			c.l.tls.Add(1)
		} else if c.l.mute {
			_, _ = io.Copy(io.Discard, c.Conn)
		}
	})
	return n, err
}

// TestPing holds that a registry in plain HTTP on loopback is asked once what ggcr
// asks for each repository, and never over TLS, and that all else there gets its
// one trial of TLS.
func TestPing(t *testing.T) {
	here := map[string]string{"realm": "here"}
	login := status(401, "WWW-Authenticate", `Basic realm="here"`)
	tests := []struct {
		name         string
		secure, mute bool
		answer       func(http.ResponseWriter)
		want         *transport.Challenge // nil if it is no registry
		asked        int32                // by three pings; 0 is any number
	}{
		{"plain", false, false, status(200), &transport.Challenge{Insecure: true}, 1},
		{"plain, with a login", false, false, login, &transport.Challenge{Scheme: "basic", Parameters: here, Insecure: true}, 1},
		{"TLS", true, false, status(200), &transport.Challenge{}, 3},
		{"TLS, with a login", true, false, login, &transport.Challenge{Scheme: "basic", Parameters: here}, 3},
		{"TLS, mute to others", true, true, status(200), &transport.Challenge{}, 3},
		{"no registry", false, false, status(404), nil, 4},
		{"in trouble", false, false, status(503), nil, 4},
		{"closes", false, false, drop, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var asked, tls atomic.Int32
			s := listen(t, tt.secure, listening{mute: tt.mute, tls: &tls}, func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				if r.Header.Get("Authorization") != "" || !strings.HasPrefix(r.UserAgent(), "inlay/test ") {
					t.Errorf("asked with %v", r.Header)
				}
				tt.answer(w)
			})
			carry := transport.NewUserAgent(registry.Plain(s.Client().Transport, nil), "inlay/test")
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					got, err := transport.Ping(t.Context(), host(t, s), carry)
					if diff := cmp.Diff(tt.want, got); diff != "" {
						t.Errorf("Ping (-want +got): %v\n%s", err, diff)
					}
				})
			}
			all.Wait()
			if n := asked.Load(); tt.asked != 0 && n != tt.asked {
				t.Errorf("asked %d times, want %d", n, tt.asked)
			}
			if n, plain := tls.Load(), tt.want != nil && tt.want.Insecure; plain != (n == 0) || !tt.secure && n > 1 {
				t.Errorf("%d connections for TLS", n)
			}
		})
	}
}

// TestPingGivenUp holds that a question ends with what it is asked for, and is asked
// again then.
func TestPingGivenUp(t *testing.T) {
	var tls atomic.Int32
	s := listen(t, false, listening{tls: &tls}, func(http.ResponseWriter, *http.Request) {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	carry := registry.Plain(carrier(func(r *http.Request) (*http.Response, error) {
		if err := r.Context().Err(); !errors.Is(err, ctx.Err()) {
			t.Errorf("%s goes on for one that was given up: %v", r.URL, err)
		}
		return s.Client().Transport.RoundTrip(r)
	}), nil)
	if _, err := transport.Ping(ctx, host(t, s), carry); !errors.Is(err, context.Canceled) {
		t.Errorf("Ping that was given up: %v, want %v", err, context.Canceled)
	}
	ctx = t.Context()
	got, err := transport.Ping(ctx, host(t, s), carry)
	if diff := cmp.Diff(&transport.Challenge{Insecure: true}, got); diff != "" {
		t.Errorf("Ping (-want +got): %v\n%s", err, diff)
	}
	if n := tls.Load(); n != 0 {
		t.Errorf("%d connections for TLS, want none", n)
	}
}

// TestPingHosts holds that only what is on loopback is asked in plain HTTP first.
func TestPingHosts(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1:5000": "http", "[::1]:5000": "http", "localhost:5000": "http",
		"10.0.0.1:5000": "https", "registry.local:5000": "https", "127.0.0.1.example:5000": "https", "registry.example": "https",
		"127.0.0.1": "https", "[::1]": "https", "localhost:443": "https", // in plain HTTP another service is there
	} {
		var asked []string
		base := carrier(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, r.URL.String())
			return nil, io.ErrUnexpectedEOF
		})
		if _, err := carried(registry.Plain(base, []string{"registry.example"}), http.MethodGet, "https://"+host+"/v2/", ""); err == nil {
			t.Errorf("%s answers", host)
		}
		if len(asked) == 0 || asked[0] != want+"://"+host+"/v2/" {
			t.Errorf("%s is asked %q, want %s first", host, asked, want)
		}
	}
}

// TestPong holds that the registry's answer is kept whole, and for nothing but the
// same question.
func TestPong(t *testing.T) {
	var asked []string
	base := carrier(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.Method+" "+r.URL.String()+" "+r.Header.Get("Authorization"))
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("{}"))}, nil
	})
	carry := registry.Plain(base, nil)
	if _, err := carried(carry, http.MethodGet, "https://127.0.0.1:5000/v2/x", "Basic eDp5"); !errors.Is(err, http.ErrSchemeMismatch) {
		t.Errorf("over TLS: %v, want %v", err, http.ErrSchemeMismatch)
	}
	for _, r := range [][3]string{
		{"GET", "127.0.0.1:5000/v2/", ""},
		{"GET", "127.0.0.1:5000/v2/", ""},
		{"GET", "127.0.0.1:5000/v2/", "Basic eDp5"},
		{"HEAD", "127.0.0.1:5000/v2/", ""},
		{"GET", "127.0.0.1:5000/v2/x", ""},
		{"GET", "127.0.0.1:5000/v2/?n=1", ""},
		{"GET", "127.0.0.1:5001/v2/", ""},
	} {
		if got, err := carried(carry, r[0], "http://"+r[1], r[2]); got != "{}" || err != nil {
			t.Errorf("%v answers %q, %v, want {}", r, got, err)
		}
	}
	want := []string{
		"GET http://127.0.0.1:5000/v2/ ", // in place of TLS
		"GET http://127.0.0.1:5000/v2/ Basic eDp5",
		"HEAD http://127.0.0.1:5000/v2/ ",
		"GET http://127.0.0.1:5000/v2/x ",
		"GET http://127.0.0.1:5000/v2/?n=1 ",
		"GET http://127.0.0.1:5001/v2/ ",
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("what was asked (-want +got):\n%s", diff)
	}
}

// carried has one request carried and returns the body of its answer.
func carried(carry http.RoundTripper, method, url, authorization string) (string, error) {
	req := httptest.NewRequest(method, url, http.NoBody)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := carry.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// listen starts a server on loopback that ends with the test.
func listen(t *testing.T, secure bool, l listening, handle http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handle)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of what was meant to fail
	l.Listener = s.Listener
	s.Listener = l
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// host returns the registry that a server is.
func host(t *testing.T, s *httptest.Server) name.Registry {
	t.Helper()
	r, err := name.NewRegistry(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return r
}
