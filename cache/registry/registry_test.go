// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"inlay/cache/registry"
)

// A server answers as it is told, one answer after the other, the last one for
// ever, and keeps what it was asked.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	answers []func(http.ResponseWriter)
	asked   []string
}

func serve(t *testing.T, answers ...func(http.ResponseWriter)) *server {
	s := &server{answers: answers}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.asked = append(s.asked, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+string(body)))
	answer := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	s.mu.Unlock()
	answer(w)
}

func status(code int, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// drop ends the connection with no answer.
func drop(http.ResponseWriter) { panic(http.ErrAbortHandler) }

func TestTransport(t *testing.T) {
	const hour, soon = time.Hour, time.Millisecond
	get, manifest, patch := "GET /v2/", "PUT /v2/app/manifests/1 {}", "PATCH /v2/app/blobs/uploads/1 data"
	tests := []struct {
		name    string
		request string // method, path, body
		wait    time.Duration
		answers []func(http.ResponseWriter)
		want    int // status
		asked   int
	}{
		{"good at once", get, hour, []func(http.ResponseWriter){status(200)}, 200, 1},
		{"busy, then good", get, soon, []func(http.ResponseWriter){status(500), status(502), status(503), status(200)}, 200, 4},
		{"always busy", get, soon, []func(http.ResponseWriter){status(504)}, 504, 5},
		{"limited", get, soon, []func(http.ResponseWriter){status(429), status(200)}, 200, 2},
		{"says when", get, hour, []func(http.ResponseWriter){status(429, "Retry-After", "0"), status(200)}, 200, 2},
		{"says a date", get, hour, []func(http.ResponseWriter){
			status(503, "Date", "Mon, 02 Jan 2006 15:04:05 GMT", "Retry-After", "Mon, 02 Jan 2006 15:04:05 GMT"), status(200),
		}, 200, 2},
		{"says much later", get, soon, []func(http.ResponseWriter){status(429, "Retry-After", "7200"), status(200)}, 429, 1},
		{"dropped, then good", get, soon, []func(http.ResponseWriter){drop, drop, status(200)}, 200, 3},
		{"refused", get, hour, []func(http.ResponseWriter){status(401)}, 401, 1},
		{"not there", get, hour, []func(http.ResponseWriter){status(404)}, 404, 1},
		{"a manifest", manifest, soon, []func(http.ResponseWriter){status(500), drop, status(201)}, 201, 3},
		{"part of a blob", patch, hour, []func(http.ResponseWriter){status(500), status(202)}, 500, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tt.answers...)
			resp, err := send(t.Context(), registry.Transport(nil, tt.wait), s.URL, tt.request)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.want {
				t.Errorf("%s: status %d, want %d", tt.request, resp.StatusCode, tt.want)
			}
			var want []string
			for range tt.asked {
				want = append(want, tt.request)
			}
			if diff := cmp.Diff(want, s.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func send(ctx context.Context, rt http.RoundTripper, url, request string) (*http.Response, error) {
	f := append(strings.Fields(request), "")
	var body io.Reader
	if f[2] != "" {
		body = strings.NewReader(f[2])
	}
	req, err := http.NewRequestWithContext(ctx, f[0], url+f[1], body)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Transport: rt}).Do(req)
	if err == nil {
		err = resp.Body.Close()
	}
	return resp, err
}

func TestTransportHeedsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, func(w http.ResponseWriter) { w.WriteHeader(503); cancel() })
	if _, err := send(ctx, registry.Transport(nil, time.Hour), s.URL, "GET /v2/"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestOptions(t *testing.T) {
	s := serve(t, status(200), status(503))
	ref := reference(t, strings.TrimPrefix(s.URL, "http://")+"/app:1")
	_, err := remote.Get(ref, registry.Options(registry.Transport(nil, time.Millisecond), nil)...)
	if err == nil {
		t.Fatal("no error")
	}
	if len(s.asked) != 6 { // the handshake once, the manifest five times and no more
		t.Errorf("asked %q, want 6 requests", s.asked)
	}
}

type brokenKeys struct{}

func (brokenKeys) Resolve(authn.Resource) (authn.Authenticator, error) {
	return nil, errors.New("docker-credential-none: not found")
}

func TestCredentials(t *testing.T) {
	s := serve(t, status(200))
	ref := reference(t, strings.TrimPrefix(s.URL, "http://")+"/app:1")
	_, err := remote.Get(ref, registry.Options(registry.Transport(nil, 0), brokenKeys{})...)
	var want *registry.CredentialsError
	if err := registry.Explain(err, ref.Context(), ref.Name()); !errors.As(err, &want) || want.Registry != ref.Context().RegistryStr() {
		t.Errorf("Explain = %v, want a *CredentialsError for %s", err, ref.Context().RegistryStr())
	}
}

func TestRepeat(t *testing.T) {
	request := func(method string) *http.Request { return httptest.NewRequest(method, "/", nil) }
	tests := []struct {
		name string
		err  error
		want int // calls
	}{
		{"none", nil, 1},
		{"reset", fmt.Errorf("sending: %w", syscall.ECONNRESET), 5},
		{"cut", io.ErrUnexpectedEOF, 5},
		{"a part of a blob", &transport.Error{StatusCode: 503, Request: request("PATCH")}, 5},
		{"a request that Transport repeats", &transport.Error{StatusCode: 503, Request: request("POST")}, 1},
		{"a lost upload", &transport.Error{
			StatusCode: 404, Request: request("PUT"), Errors: []transport.Diagnostic{{Code: "BLOB_UPLOAD_UNKNOWN"}},
		}, 5},
		{"refused", &transport.Error{StatusCode: 403, Request: request("PATCH")}, 1},
		{"nobody there", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, 1},
		{"no such host", &net.DNSError{IsNotFound: true}, 1},
		{"a slow name server", &net.DNSError{IsTimeout: true}, 5},
		{"cancelled", context.Canceled, 1},
		{"ours", errors.New("the layer is broken"), 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			err := registry.Repeat(t.Context(), time.Microsecond, func() error { calls++; return tt.err })
			if !errors.Is(err, tt.err) || calls != tt.want {
				t.Errorf("Repeat = %v after %d calls, want %v after %d", err, calls, tt.err, tt.want)
			}
		})
	}
}

func TestRepeatHeedsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := registry.Repeat(ctx, time.Hour, func() error {
		time.AfterFunc(time.Millisecond, cancel)
		return io.ErrUnexpectedEOF
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Repeat = %v, want context.Canceled", err)
	}
}

// Each cloud has its own way to be let in.
func TestHintsOfClouds(t *testing.T) {
	tests := []struct{ host, hint string }{
		{"123456789012.dkr.ecr.eu-west-1.amazonaws.com", "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or run: aws ecr get-login-password | docker login --username AWS --password-stdin 123456789012.dkr.ecr.eu-west-1.amazonaws.com"},
		{"europe-docker.pkg.dev", "run: gcloud auth login, or set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run: gcloud auth configure-docker europe-docker.pkg.dev"},
		{"team.azurecr.io", "run: az login, or az acr login --name team"},
		{"ghcr.io", "set GITHUB_TOKEN to a token with the scope read:packages (or write:packages, to push), or run: docker login ghcr.io"},
	}
	for _, tt := range tests {
		got := []string{(&registry.AccessError{Registry: tt.host}).Hint(), (&registry.CredentialsError{Registry: tt.host}).Hint()}
		if diff := cmp.Diff([]string{"check the name, and " + tt.hint, tt.hint}, got); diff != "" {
			t.Errorf("hints for %s (-want +got):\n%s", tt.host, diff)
		}
	}
}

func TestExplain(t *testing.T) {
	ref := reference(t, "registry.example.com/team/app:1")
	answer := func(status int, code transport.ErrorCode) error {
		e := &transport.Error{StatusCode: status}
		if code != "" {
			e.Errors = []transport.Diagnostic{{Code: code, Message: "message"}}
		}
		return fmt.Errorf("asking: %w", e)
	}
	tests := []struct {
		name       string
		err        error
		want, hint string
	}{
		{
			"401", answer(401, "UNAUTHORIZED"),
			"registry.example.com refuses access to registry.example.com/team/app:1: UNAUTHORIZED: message",
			"check the name, and log in to registry.example.com with docker login, podman login or crane auth login",
		},
		{
			"403", answer(403, ""),
			"registry.example.com refuses access to registry.example.com/team/app:1: unexpected status code 403 Forbidden",
			"check the name, and log in to registry.example.com with docker login, podman login or crane auth login",
		},
		{
			"no image", answer(404, "MANIFEST_UNKNOWN"), "no such image: registry.example.com/team/app:1",
			"check the tag or digest; the tags there are: crane ls registry.example.com/team/app",
		},
		{
			"no repository", answer(404, "NAME_UNKNOWN"), "no such repository: registry.example.com/team/app:1",
			"check the name, or create the repository registry.example.com/team/app if its registry doesn't do so by itself",
		},
		{
			"429", answer(429, ""), "talking to registry.example.com: unexpected status code 429 Too Many Requests",
			"it limits how much one may ask: try again later, or log in with docker login registry.example.com",
		},
		{
			"500", answer(500, ""), "talking to registry.example.com: unexpected status code 500 Internal Server Error",
			"the registry did not do its part: try again later, or ask those who run it",
		},
		{
			"nobody there", syscall.ECONNREFUSED, "talking to registry.example.com: connection refused",
			"check the name registry.example.com, the network, and the proxy variables",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := registry.Explain(tt.err, ref.Context(), ref.Name())
			var hinted interface{ Hint() string }
			if !errors.As(err, &hinted) {
				t.Fatalf("Explain(%v) = %v, which has no hint", tt.err, err)
			}
			if diff := cmp.Diff([]string{tt.want, tt.hint}, []string{err.Error(), hinted.Hint()}); diff != "" {
				t.Errorf("Explain(%v) (-want +got):\n%s", tt.err, diff)
			}
			if again := registry.Explain(fmt.Errorf("pushing: %w", err), ref.Context(), ref.Name()); !errors.Is(again, err) {
				t.Errorf("Explain lost the explanation %v: %v", err, again)
			}
		})
	}
	if err := registry.Explain(context.Canceled, ref.Context(), ref.Name()); !errors.Is(err, context.Canceled) {
		t.Errorf("Explain(context.Canceled) = %v", err)
	}
	if err := registry.Explain(nil, ref.Context(), ref.Name()); err != nil {
		t.Errorf("Explain(nil) = %v", err)
	}
}

func reference(t *testing.T, s string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}
