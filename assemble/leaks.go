// SPDX-License-Identifier: Apache-2.0

package assemble

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/cache"
	"inlay/layers/leak"
	"inlay/resolve/plan"
)

// CheckPlan returns a *leak.Error if p holds a secret: it is printed, recorded,
// and becomes the image's configuration and history.
func CheckPlan(p plan.Plan, s *leak.Scanner) error {
	if s == nil {
		return nil
	}
	var b bytes.Buffer
	if err := p.Encode(&b); err != nil {
		return err
	}
	return inSettings(p, s.Document("plan", b.Bytes()))
}

// inSettings names the place of a secret in the configuration of p as settings do.
func inSettings(p plan.Plan, err error) error {
	var found *leak.Error
	if !errors.As(err, &found) {
		return err
	}
	for i, s := range p.Stages {
		at, ok := strings.CutPrefix(found.In, fmt.Sprintf("plan.stages[%d].config.", i))
		if !ok {
			continue
		}
		for n, kv := range s.Config.Env {
			if key, _, _ := strings.Cut(kv, "="); at == fmt.Sprintf("env[%d]", n) {
				found.In = "the image's variable " + key
			}
		}
		for _, kind := range []string{"label", "annotation"} {
			if key, ok := strings.CutPrefix(at, kind+"s."); ok {
				found.In = "the image's " + kind + " " + key
			}
		}
	}
	return err
}

// checkImage does the same for what the image says of itself, where the
// parent's words stand too.
func checkImage(img v1.Image, s *leak.Scanner) error {
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	manifest, err := img.RawManifest()
	if err != nil {
		return err
	}
	if err := s.Document("the image's configuration", config); err != nil {
		return err
	}
	return s.Document("the image's manifest", manifest)
}

// known returns the layer of step i from the cache, or cache.ErrMiss. It was
// searched for the secrets of the build that made it. One of source files, or of
// what a command made of them, is searched for those of this build, because a
// secret of one's own gets into these; the files of a wheel are those that an
// index published, whoever asks for them.
func (w *work) known(ctx context.Context, i int) (Layer, error) {
	s := w.plan.Image().Steps[i]
	l, err := w.lookUp(ctx, i)
	if err != nil || s.Files == nil && s.Run == nil {
		return l, err
	}
	watch := w.o.Tools.Secrets.Watch()
	if watch == nil {
		return l, nil
	}
	at, err := search(ctx, l.Layer, watch)
	var found *leak.Error
	switch {
	case errors.As(err, &found):
		return Layer{}, &leak.Error{In: w.o.Tools.Secrets.Hide(fmt.Sprintf("/%s of layer %q", at, s.Name)), Of: found.Of}
	case ctx.Err() != nil:
		return Layer{}, ctx.Err()
	case err != nil:
		return Layer{}, cache.ErrMiss // it is damaged
	}
	return l, nil
}

// search shows the tar of l to watch, and returns the path of the entry at which
// it ended.
func search(ctx context.Context, l v1.Layer, watch io.Writer) (at string, err error) {
	r, err := l.Uncompressed()
	if err != nil {
		return "", err
	}
	defer r.Close() //nolint:errcheck // only read
	for t := tar.NewReader(io.TeeReader(r, watch)); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return "", nil
		}
		if err != nil {
			return at, err
		}
		at = h.Name
		if _, err := io.Copy(io.Discard, t); err != nil {
			return at, err
		}
		if err := ctx.Err(); err != nil {
			return at, err
		}
	}
}
