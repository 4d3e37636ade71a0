// SPDX-License-Identifier: Apache-2.0

package source_test

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
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"inlay/cache/registry"
	"inlay/resolve/source"
)

func TestParseMirror(t *testing.T) {
	tests := []struct {
		text string
		want source.Mirror
	}{
		{"docker.io=mirror.gcr.io", source.Mirror{Registry: "index.docker.io", Prefix: "mirror.gcr.io"}},
		{"quay.io=corp.example:5000/proxy/quay/", source.Mirror{Registry: "quay.io", Prefix: "corp.example:5000/proxy/quay"}},
		{"127.0.0.1:5000=localhost:5001", source.Mirror{Registry: "127.0.0.1:5000", Prefix: "localhost:5001"}},
	}
	for _, tt := range tests {
		if got, err := source.ParseMirror(tt.text); err != nil || got != tt.want {
			t.Errorf("ParseMirror(%q) = %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
	for _, text := range []string{"", "docker.io", "docker.io=", "=mirror.gcr.io", "docker.io=hub", "https://docker.io=mirror.gcr.io", "docker.io=https://mirror.gcr.io", "docker.io=mirror.gcr.io/UP"} {
		_, err := source.ParseMirror(text)
		var me *source.MirrorError
		if !errors.As(err, &me) || !strings.HasPrefix(me.Hint(), "write REGISTRY=MIRROR[/PATH]") {
			t.Errorf("ParseMirror(%q) = %v, want a *MirrorError", text, err)
		}
	}
}

// A mirror is asked first; what it lacks, refuses or garbles the registry has.
// The image keeps the name of the registry.
func TestMirrors(t *testing.T) {
	answer := func(status int) func(http.Handler) http.Handler {
		return func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		}
	}
	garbled := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/blobs/") && r.Method == http.MethodGet {
				_, _ = io.WriteString(w, "{}")
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	tests := []struct {
		name   string
		wrap   func(http.Handler) http.Handler
		filled bool
		note   string // said of the mirror
	}{
		{"has it", plain, true, ""},
		{"is empty", plain, false, "no such repository: "},
		{"refuses", answer(401), false, "refuses access to "},
		{"is broken", answer(500), false, "talking to "},
		{"garbles the configuration", garbled, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			var asked []string
			origin := serve(t, func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					asked = append(asked, r.Method+" "+r.URL.Path)
					mu.Unlock()
					h.ServeHTTP(w, r)
				})
			})
			img := makeImage(t, "linux/amd64")
			text := putRemote(t, origin, img)
			mu.Lock()
			asked = nil
			mu.Unlock()
			mirror := serve(t, tt.wrap)
			if tt.filled {
				tag, err := name.NewTag(mirror + "/hub/app:1")
				check(t, err)
				check(t, remote.Write(tag, img))
			}
			var notes []string
			im := images
			im.Mirrors = []source.Mirror{{Registry: "other.example", Prefix: "127.0.0.1:1"}, {Registry: origin, Prefix: mirror + "/hub"}}
			im.Note = func(s string) { notes = append(notes, s) }
			ref, err := source.Parse(text)
			check(t, err)
			got, err := im.Open(t.Context(), ref, "")
			check(t, err)
			digest, _ := img.Digest()
			if want := origin + "/app@" + digest.String(); got.Reference != want {
				t.Errorf("Reference = %s, want %s", got.Reference, want)
			}
			if tt.name == "has it" {
				mu.Lock()
				defer mu.Unlock()
				if len(asked) > 0 || len(notes) > 0 {
					t.Errorf("the registry was asked %q with the notes %q, want nothing", asked, notes)
				}
				return
			}
			if len(notes) != 1 || !strings.HasPrefix(notes[0], "note: mirror "+mirror+" has no "+text+": ") ||
				!strings.Contains(notes[0], tt.note) || !strings.HasSuffix(notes[0], "; asking "+origin+" itself") {
				t.Errorf("notes %q", notes)
			}
		})
	}
}

// What neither has is told as the registry tells it.
func TestMirrorAndRegistryFail(t *testing.T) {
	origin := serve(t, plain)
	im := images
	im.Mirrors = []source.Mirror{{Registry: origin, Prefix: serve(t, plain)}}
	ref, err := source.Parse(origin + "/app:1")
	check(t, err)
	_, err = im.Open(t.Context(), ref, "")
	var nf *registry.NotFoundError
	if !errors.As(err, &nf) || nf.Name != origin+"/app:1" {
		t.Errorf("Open = %v, want a *NotFoundError for %s", err, origin)
	}
}

// secure serves a registry over TLS with a certificate that nobody trusts.
func secure(t *testing.T) string {
	t.Helper()
	s := httptest.NewUnstartedServer(ggcr.New(ggcr.Logger(quiet)))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "https://")
}

// A registry whose certificate can't be checked is spoken to if it is named,
// and only then.
func TestInsecure(t *testing.T) {
	host, other := secure(t), secure(t)
	lax := registry.Unverified([]string{host})
	tag, err := name.NewTag(host+"/app:1", name.Insecure)
	check(t, err)
	check(t, remote.Write(tag, makeImage(t, "linux/amd64"), remote.WithTransport(lax)))
	open := func(transport http.RoundTripper, asked string) error {
		im := source.Images{Platform: "linux/amd64", Wait: time.Millisecond, Insecure: []string{host}, Transport: transport}
		ref, err := source.Parse(asked + "/app:1")
		check(t, err)
		_, err = im.Open(t.Context(), ref, "")
		return err
	}
	check(t, open(lax, host))
	var ne *registry.NetworkError
	if err := open(lax, other); !errors.As(err, &ne) || !strings.HasSuffix(ne.Hint(), "; to take any, give --insecure-registry "+other) {
		t.Errorf("with another registry named, Open = %v, want a *NetworkError that names the flag", err)
	}
	err = open(dialing(host), "registry.example:5000")
	if !errors.As(err, &ne) || !strings.HasSuffix(ne.Hint(), "; to take any, give --insecure-registry registry.example:5000") {
		t.Errorf("with none named, Open = %v, want a *NetworkError that names the flag", err)
	}
}

// dialing returns a transport that finds every host at one address.
func dialing(address string) http.RoundTripper {
	return &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
}

// A registry that speaks plain HTTP is spoken to in the clear if it is named,
// and only then.
func TestPlainHTTP(t *testing.T) {
	server := serve(t, plain)
	putRemote(t, server, makeImage(t, "linux/amd64"))
	const host = "registry.example:5000" // not of loopback, which may always be
	ref, err := source.Parse(host + "/app:1")
	check(t, err)
	im := source.Images{Platform: "linux/amd64", Wait: time.Millisecond, Transport: dialing(server)}
	_, err = im.Open(t.Context(), ref, "")
	var ne *registry.NetworkError
	if !errors.As(err, &ne) || ne.Hint() != "if it may be spoken to in the clear, give --insecure-registry "+host {
		t.Errorf("Open = %v, want a *NetworkError that names the flag", err)
	}
	im.Insecure = []string{host}
	_, err = im.Open(t.Context(), ref, "")
	check(t, err)
}
