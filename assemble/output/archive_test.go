// SPDX-License-Identifier: Apache-2.0

package output_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"

	"inlay/assemble/output"
)

func TestArchivesAreReproducible(t *testing.T) {
	var files [2]string
	for _, kind := range []string{"oci-archive", "docker-archive"} {
		for i := range files {
			files[i] = filepath.Join(t.TempDir(), "image.tar")
			var err error
			if kind == "oci-archive" {
				_, err = output.OCIArchive{File: files[i], Tags: []string{"v1"}}.Write(t.Context(), makeImage(t, "a", "b"))
			} else {
				_, err = output.Tarball{File: files[i]}.Write(t.Context(), makeImage(t, "a", "b"))
			}
			check(t, err)
		}
		a, err := os.ReadFile(files[0])
		check(t, err)
		b, err := os.ReadFile(files[1])
		check(t, err)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: two archives of one image differ", kind)
		}
	}
}

// The members of an archive: names, modes, owners and times are no accident.
func TestDockerArchiveMembers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image.tar")
	tags := []name.Tag{}
	for _, s := range []string{"example.com/team/app:1", "app", "user/app:2"} {
		tag, err := name.NewTag(s)
		check(t, err)
		tags = append(tags, tag)
	}
	img := makeImage(t, "a")
	d, err := output.Tarball{File: file, Tags: tags}.Write(t.Context(), img)
	check(t, err)
	m, err := img.Manifest()
	check(t, err)
	f, err := os.Open(file)
	check(t, err)
	defer f.Close()
	var got []tar.Header
	var last []byte
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		check(t, err)
		got = append(got, tar.Header{Name: h.Name, Mode: h.Mode, Uid: h.Uid, Gid: h.Gid, Uname: h.Uname, ModTime: h.ModTime.UTC(), Format: h.Format})
		last, err = io.ReadAll(r)
		check(t, err)
	}
	var want []tar.Header
	for _, n := range []string{"blobs/", "blobs/sha256/", "blobs/sha256/" + d.Digest.Hex, "blobs/sha256/" + m.Config.Digest.Hex, "blobs/sha256/" + m.Layers[0].Digest.Hex, "manifest.json"} {
		h := tar.Header{Name: n, Mode: 0o644, ModTime: time.Unix(0, 0).UTC(), Format: tar.FormatUSTAR}
		if strings.HasSuffix(n, "/") {
			h.Mode = 0o755
		}
		want = append(want, h)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	wantJSON := `[{"Config":"blobs/sha256/` + m.Config.Digest.Hex + `","RepoTags":["example.com/team/app:1","app:latest","user/app:2"],"Layers":["blobs/sha256/` + m.Layers[0].Digest.Hex + `"]}]`
	if diff := cmp.Diff(wantJSON, string(last)); diff != "" {
		t.Errorf("manifest.json (-want +got):\n%s", diff)
	}
}

// Places that can't be written to, and images that can't be written there.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	put := func(name, content string) string {
		path := filepath.Join(dir, name)
		check(t, os.MkdirAll(filepath.Dir(path), 0o700))
		check(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	busy := filepath.Dir(put("busy/file", ""))
	old := filepath.Dir(put("old/oci-layout", `{"imageLayoutVersion":"0.1"}`))
	garbled := filepath.Dir(put("garbled/oci-layout", `{"imageLayoutVersion":"1.0.0"}`))
	put("garbled/index.json", "{")
	file := put("file", "")
	img := makeImage(t, "a")
	const elsewhere = "make room or change the permissions there, or name another place: --output oci:DIR"
	layout := func(dir string) error {
		_, err := output.Layout{Dir: dir}.Write(t.Context(), img)
		return err
	}
	ociArchive := func(file string) error {
		_, err := output.OCIArchive{File: file}.Write(t.Context(), img)
		return err
	}
	tests := []struct {
		name       string
		err        error
		want, hint string
	}{
		{"another directory", layout(busy), "delivering to oci:" + busy + ": writing " + busy + ": it is no OCI layout, but holds file", elsewhere},
		{"another version", layout(old), "delivering to oci:" + old + ": writing " + old + `: it is a layout of version "0.1", not 1.0.0`, elsewhere},
		{"a broken index", layout(garbled), "delivering to oci:" + garbled + ": writing " + garbled + "/index.json: what is there can't be read: unexpected EOF", elsewhere},
		{"a file", layout(file), "delivering to oci:" + file + ": writing " + file + ": not a directory", elsewhere},
		{"a directory", ociArchive(busy), "delivering to oci-archive:" + busy + ": writing " + busy + ": something is there that is no file", elsewhere},
		{"below a file", ociArchive(file + "/x"), "delivering to oci-archive:" + file + "/x: writing " + file + "/x: not a directory", elsewhere},
	}
	for _, tt := range tests {
		var hinted interface{ Hint() string }
		if !errors.As(tt.err, &hinted) {
			t.Errorf("%s: %v has no hint", tt.name, tt.err)
			continue
		}
		if diff := cmp.Diff([]string{tt.want, tt.hint}, []string{tt.err.Error(), hinted.Hint()}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
