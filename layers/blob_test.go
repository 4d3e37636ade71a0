// SPDX-License-Identifier: Apache-2.0

package layers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"inlay/layers"
)

// opener opens b, and counts what is open.
type opener struct {
	b    []byte
	open int
}

type opened struct {
	io.Reader
	o *opener
}

func (o *opener) Open() (io.ReadCloser, error) {
	o.open++
	return opened{bytes.NewReader(o.b), o}, nil
}

func (o opened) Close() error {
	o.o.open--
	return nil
}

func TestBlobIsValid(t *testing.T) {
	for _, mt := range []types.MediaType{types.OCILayer, types.DockerLayer} {
		s, b := layer(t, layers.Options{MediaType: mt}, asIs, mixed()...)
		o := &opener{b: b}
		l := layers.Blob(s, o.Open)
		if err := validate.Layer(l); err != nil {
			t.Errorf("validate.Layer of a layer of the type %s = %v", mt, err)
		}
		if got, err := l.MediaType(); got != mt || err != nil {
			t.Errorf("MediaType = %s, %v, want %s", got, err, mt)
		}
		if o.open != 0 {
			t.Errorf("%d readers were left open", o.open)
		}
	}
}

func TestBlobUncompressed(t *testing.T) {
	s, b := layer(t, layers.Options{}, asIs, mixed()...)
	rc, err := layers.Blob(s, (&opener{b: b}).Open).Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if err := iotest.TestReader(rc, gunzip(t, b)); err != nil {
		t.Error(err)
	}
}

// Readers of a damaged blob fail with a DigestError or, where the damage shows
// earlier, with what it does; never do they end as if all were well.
func TestBlobIsDamaged(t *testing.T) {
	s, b := layer(t, layers.Options{}, asIs, plain("a", "x"), plain("b", noise(100_000)))
	flipped := func(i int) []byte {
		c := bytes.Clone(b)
		c[i] ^= 1
		return c
	}
	for _, tt := range []struct {
		name string
		b    []byte
	}{
		{"empty", nil},
		{"its first byte", b[:1]},
		{"half of it", b[:len(b)/2]},
		{"all but the last byte", b[:len(b)-1]},
		{"one byte more", append(bytes.Clone(b), 0)},
		{"itself twice", append(bytes.Clone(b), b...)},
		{"a bit of the magic number", flipped(0)},
		{"a bit of the header", flipped(9)},
		{"a bit of the content", flipped(len(b) / 2)},
		{"a bit of the checksum", flipped(len(b) - 8)},
	} {
		o := &opener{b: tt.b}
		l := layers.Blob(s, o.Open)
		var bad *layers.DigestError
		if err := drain(l.Compressed); !errors.As(err, &bad) || bad.Want != s.Digest {
			t.Errorf("%s: reading it compressed = %v, want a DigestError", tt.name, err)
		}
		if err := drain(l.Uncompressed); err == nil {
			t.Errorf("%s: reading it uncompressed succeeded", tt.name)
		}
		if o.open != 0 {
			t.Errorf("%s: %d readers were left open", tt.name, o.open)
		}
	}
}

// drain reads to the end.
func drain(open func() (io.ReadCloser, error)) error {
	rc, err := open()
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, rc)
	return errors.Join(err, rc.Close())
}

func TestBlobCannotBeOpened(t *testing.T) {
	gone := errors.New("gone")
	l := layers.Blob(layers.Summary{}, func() (io.ReadCloser, error) { return nil, gone })
	for _, open := range []func() (io.ReadCloser, error){l.Compressed, l.Uncompressed} {
		if _, err := open(); !errors.Is(err, gone) {
			t.Errorf("opening it = %v, want %v", err, gone)
		}
	}
}

func TestSummaryIsJSON(t *testing.T) {
	want, _ := layer(t, layers.Options{}, asIs, plain("a", "x"))
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	const golden = `{"diffID":"sha256:%s","digest":"sha256:%s","size":%d,"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip"}`
	if s := fmt.Sprintf(golden, want.DiffID.Hex, want.Digest.Hex, want.Size); string(b) != s {
		t.Errorf("Marshal = %s, want %s", b, s)
	}
	var got layers.Summary
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the summary came back different (-want +got):\n%s", diff)
	}
}

func TestVerify(t *testing.T) {
	const hi = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4" // sha256 of "hi"
	want := v1.Hash{Algorithm: "sha256", Hex: hi}
	verified := func(s string) io.Reader { return layers.Verify(io.NopCloser(strings.NewReader(s)), want) }
	if err := iotest.TestReader(verified("hi"), []byte("hi")); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "h", "ho", "hi!"} {
		b, err := io.ReadAll(verified(bad))
		got := (*layers.DigestError)(nil)
		if !errors.As(err, &got) || got.Want != want || string(b) != bad {
			t.Errorf("reading %q = %q, %v, want a DigestError", bad, b, err)
		}
	}
	_, err := io.ReadAll(verified(""))
	const message = "content is sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, not sha256:" + hi
	if fmt.Sprint(err) != message {
		t.Errorf("the error says %q, want %q", err, message)
	}
	other := v1.Hash{Algorithm: "sha512", Hex: hi}
	if _, err := io.ReadAll(layers.Verify(io.NopCloser(strings.NewReader("hi")), other)); err == nil {
		t.Error("Verify takes a digest of another kind")
	}
	broken := errors.New("broken")
	if _, err := io.ReadAll(layers.Verify(io.NopCloser(iotest.ErrReader(broken)), want)); !errors.Is(err, broken) {
		t.Errorf("reading a broken reader = %v, want %v", err, broken)
	}
}
