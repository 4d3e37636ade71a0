// SPDX-License-Identifier: Apache-2.0

package output_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"inlay/assemble/output"
	"inlay/cache/registry"
)

// Check tells what a push would do by asking for headers alone.
func TestCheck(t *testing.T) {
	s := newStrict()
	host := start(t, s)
	base, app := makeImage(t, "p"), makeImage(t, "a")
	for repo, img := range map[string]v1.Image{"/base:1": base, "/app:1": app} {
		check(t, remote.Write(tags(t, host+repo)[0], img))
	}
	layer := func(img v1.Image) v1.Hash {
		m, err := img.Manifest()
		check(t, err)
		return m.Layers[0].Digest
	}
	repository := func(s string) name.Repository {
		r, err := name.NewRepository(s)
		check(t, err)
		return r
	}
	blobs := []output.Blob{
		{Digest: layer(app)},
		{Digest: layer(base), From: repository(host + "/base")},
		{Digest: layer(base)},
		{Digest: layer(base), From: repository("example.com/base")},
		{Digest: layer(makeImage(t, "x")), From: repository(host + "/base")},
	}
	s.forget()
	got, err := output.Registry{Tags: tags(t, host+"/app:2")}.Check(t.Context(), blobs)
	check(t, err)
	want := []output.State{output.Present, output.Mountable, output.Missing, output.Missing, output.Missing}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Check (-want +got):\n%s", diff)
	}
	got, err = output.Registry{Tags: tags(t, host+"/app:2", host+"/new:1")}.Check(t.Context(), blobs)
	check(t, err)
	want[0] = output.Missing
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Check of two repositories (-want +got):\n%s", diff)
	}
	if slices.ContainsFunc(s.asked, func(a string) bool { return !strings.HasPrefix(a, "HEAD ") }) {
		t.Errorf("Check asked for more than headers: %q", s.asked)
	}

	closed := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { status(w, 403, true) }))
	got, err = output.Registry{Tags: tags(t, closed+"/app:1")}.Check(t.Context(), blobs[:1])
	if err != nil || got[0] != output.Missing {
		t.Errorf("Check where one may not look = %v, %v, want all missing", got, err)
	}
	var ne *registry.NetworkError
	if _, err := (output.Registry{Tags: tags(t, "127.0.0.1:1/app:1")}).Check(t.Context(), blobs[:1]); !errors.As(err, &ne) {
		t.Errorf("Check where nobody is = %v, want a *NetworkError", err)
	}
}
