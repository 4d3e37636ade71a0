// SPDX-License-Identifier: Apache-2.0

package sdist

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestUnpackSource shows what the Python that builds does with archives.
func TestUnpackSource(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 on this machine")
	}
	tarball := func(names ...string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		w := tar.NewWriter(z)
		for _, name := range names {
			if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: 1, Uid: 4321, Gid: 4321}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	var zipped bytes.Buffer
	z := zip.NewWriter(&zipped)
	head := &zip.FileHeader{Name: "demo-1.0/setup.py"}
	head.SetMode(0o755)
	if _, err := z.CreateHeader(head); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		file    string
		content []byte
		works   bool
	}{
		{"demo-1.0.tar.gz", tarball("demo-1.0/setup.py", "demo-1.0/demo/__init__.py"), true},
		{"demo-1.0.zip", zipped.Bytes(), true},
		{"demo-1.0.tar.gz", tarball("demo-1.0/setup.py", "more"), false},
		{"demo-1.0.tar.gz", tarball("demo-1.0/setup.py")[:40], false},
		{"demo-1.0.tar.zst", tarball("demo-1.0/setup.py"), false},
	} {
		dir := t.TempDir()
		archive, to := filepath.Join(dir, tt.file), filepath.Join(dir, "source")
		if err := os.WriteFile(archive, tt.content, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(python, "-I", "-c", unpackSource, archive, to).CombinedOutput()
		if (err == nil) != tt.works {
			t.Errorf("%s: %v %s, want that it works to be %t", tt.file, err, out, tt.works)
		}
		info, err := os.Stat(filepath.Join(to, "setup.py"))
		if (err == nil) != tt.works {
			t.Errorf("%s: %v", tt.file, err)
		}
		if err == nil && info.Mode().Perm()&0o111 != 0o111 {
			t.Errorf("%s: nobody can execute the file: %v", tt.file, info.Mode())
		}
	}
}
