// SPDX-License-Identifier: Apache-2.0

package output_test

import (
	"net/http"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"inlay/assemble/output"
)

// A repository is not asked for the blobs of what the image's tag names there: of
// an image, or of an index of images.
func TestStock(t *testing.T) {
	for name, put := range map[string]func(*testing.T, string, v1.Image){
		"image": func(t *testing.T, text string, img v1.Image) {
			check(t, remote.Write(tags(t, text)[0], img))
		},
		"index": func(t *testing.T, text string, img v1.Image) {
			check(t, remote.WriteIndex(tags(t, text)[0], mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStrict()
			host := start(t, s)
			put(t, host+"/app:1", makeImage(t, "a", "b"))
			s.forget()
			d, err := output.Registry{Tags: tags(t, host+"/app:1")}.Write(t.Context(), makeImage(t, "a", "b", "c"))
			check(t, err)
			if asked := s.count("HEAD app blob"); asked != 2 || d.Moved != 2 || d.Present != 2 {
				t.Errorf("asked for %d blobs, %+v; want 2 asked for and moved, the new layer and the configuration, and 2 present", asked, d)
			}
		})
	}
}

// A registry that has lost a blob of an image that it still shows gets it again,
// however it refuses the manifest.
func TestStockIsWrong(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed} {
		t.Run(http.StatusText(status), func(t *testing.T) { stockIsWrong(t, status) })
	}
}

func stockIsWrong(t *testing.T, status int) {
	t.Helper()
	s := newStrict()
	s.refusal = status
	host := start(t, s)
	names := tags(t, host+"/app:1")
	old := makeImage(t, "a", "b")
	check(t, remote.Write(names[0], old))
	ls, err := old.Layers()
	check(t, err)
	lost, err := ls[0].Digest()
	check(t, err)
	s.lose("app", lost.String())
	img := makeImage(t, "a", "b", "c")
	d, err := output.Registry{Tags: names, Wait: time.Millisecond}.Write(t.Context(), img)
	check(t, err)
	if !s.knows("app", lost.String()) || d.Moved != 3 || d.Present != 1 {
		t.Errorf("%+v, want the lost layer, the new one and the configuration moved, and one layer present", d)
	}
	want, err := img.Digest()
	check(t, err)
	if got, err := remote.Head(names[0]); err != nil || got.Digest != want {
		t.Errorf("the tag names %v, %v, want %s", got, err, want)
	}
}
