// SPDX-License-Identifier: Apache-2.0

package assemble_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/fstest"

	"inlay/assemble"
	"inlay/assemble/artifact"
	"inlay/layers/leak"
	"inlay/resolve/plan"
)

// shelf is a store in memory.
type shelf struct {
	files map[string][]byte
	puts  int
}

func (s *shelf) Has(_ context.Context, name string) (bool, error) {
	_, have := s.files[name]
	return have, nil
}

func (s *shelf) Put(_ context.Context, name string, b artifact.Blob) error {
	text, err := io.ReadAll(b)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(text); int64(len(text)) != b.Size || !bytes.Equal(sum[:], b.SHA256) {
		return errors.New("the size or the digest is not that of the file")
	}
	s.files[name], s.puts = text, s.puts+1
	return nil
}

// sourceOf is a plan that uploads two files of a context.
func sourceOf(context fstest.MapFS) plan.Plan {
	code := &plan.Code{Target: "/app", Store: "file:///store", Files: &plan.Files{Target: "/", ModTime: 315532800}}
	for _, name := range []string{"a b/ü.py", "main.py"} {
		sum := sha256.Sum256(context[name].Data)
		code.Files.Files = append(code.Files.Files, plan.File{Path: name, Mode: context[name].Mode, Size: int64(len(context[name].Data)), Digest: "sha256:" + hex.EncodeToString(sum[:])})
	}
	p := demo()
	p.Code = code
	return p
}

// TestUploadCode holds that equal sources are equal archives, uploaded once under
// a name made of the digest, with fixed times and owners.
func TestUploadCode(t *testing.T) {
	ctx := fstest.MapFS{"main.py": {Data: []byte("1"), Mode: 0o644}, "a b/ü.py": {Data: []byte("2"), Mode: 0o755}}
	s := &shelf{files: map[string][]byte{}}
	var first *assemble.Upload
	for _, dir := range []string{t.TempDir(), t.TempDir()} {
		o := options(t, dir)
		o.Tools.Context = ctx
		for range 2 {
			u, err := assemble.UploadCode(t.Context(), sourceOf(ctx), o, s)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = u
			} else if u.Moved || u.Name != first.Name || u.Digest != first.Digest {
				t.Errorf("the same source again is %+v, first it was %+v", u, first)
			}
			o.Tools.Context = fstest.MapFS{} // the cache has it
		}
	}
	if !first.Moved || s.puts != 1 || first.Name != "code_uploads/"+first.Digest.Hex+".tar.gz" {
		t.Errorf("it is uploaded %d times, first %+v", s.puts, first)
	}
	const want = "- a b/ 755 0:0 315532800\n- a b/ü.py 755 0:0 315532800\n- main.py 644 0:0 315532800\n"
	if got := listing(t, s.files[first.Name]); got != want {
		t.Errorf("the archive holds\n%swant\n%s", got, want)
	}
	if head := s.files[first.Name][:10]; !bytes.Equal(head[3:9], make([]byte, 6)) {
		t.Errorf("the gzip header % x says more than that it is one", head)
	}
}

// listing lists an archive.
func listing(t *testing.T, b []byte) string {
	t.Helper()
	gz, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for r := tar.NewReader(gz); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "- %s %o %d:%d %d\n", h.Name, h.Mode, h.Uid, h.Gid, h.ModTime.Unix())
	}
}

// TestUploadCodeSecret holds that no secret is uploaded, made now or before.
func TestUploadCodeSecret(t *testing.T) {
	ctx := fstest.MapFS{"main.py": {Data: []byte("token = 'hunter2hunter2'"), Mode: 0o644}, "a b/ü.py": {Data: []byte("2"), Mode: 0o644}}
	o := options(t, t.TempDir())
	o.Tools.Context = ctx
	if _, err := assemble.UploadCode(t.Context(), sourceOf(ctx), o, &shelf{files: map[string][]byte{}}); err != nil {
		t.Fatal(err)
	}
	o.Tools.Secrets = leak.New([]leak.Secret{{Of: "the index", Value: "hunter2hunter2"}})
	for _, anew := range []bool{false, true} {
		o.Anew = anew
		s := &shelf{files: map[string][]byte{}}
		var found *leak.Error
		if _, err := assemble.UploadCode(t.Context(), sourceOf(ctx), o, s); !errors.As(err, &found) || s.puts > 0 {
			t.Errorf("UploadCode of a secret, anew %v: %v, with %d uploads", anew, err, s.puts)
		}
	}
}
