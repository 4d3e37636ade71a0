// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"archive/zip"
	"crypto/sha256"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"inlay/resolve/plan"
)

// many is a set of requirements whose wheels take over 500 MB.
const many = `numpy
pandas
scipy
scikit-learn
matplotlib
pyarrow
polars
duckdb
xgboost-cpu
lightgbm
catboost
opencv-python-headless
llvmlite
numba
transformers
grpcio
sympy
plotly
bokeh
jaxlib
onnxruntime
statsmodels
mlflow-skinny
jupyterlab
faiss-cpu
`

// TestE2EWork compares the CPU seconds of making the layers of many wheels with
// those of the usual way: unpack them, write a tar of the tree, compress it.
func TestE2EWork(t *testing.T) {
	e := e2e(t)
	dir := project(t, "settings:\n  docker:\n    requirements: r.txt\n", map[string]string{"r.txt": many, ".dockerignore": "*"})
	args := []string{"--parent-image", e.parent("debian"), "-q", dir}
	warm := t.TempDir() // the wheels and the parent's blobs are there before the measured build
	e.inlay(t, append([]string{"build", "-o", "oci:" + warm + "/image"}, args...)...)
	wheels, size := e.wheels(t, args)
	if size < 500e6 {
		t.Fatalf("the wheels take %d MB, want over 500", size/1e6)
	}
	r := e.inlay(t, append([]string{"build", "--no-cache", "-o", "oci:" + warm + "/image"}, args...)...)
	classic := e.classic(t, wheels)
	ratio := classic.Seconds() / r.cpu.Seconds()
	e.report(t, "%d wheels of %d MB: %.1f CPU seconds for the whole build, %.1f for unpack, tar and gzip -6: %.1f times less; peak RSS %d MB",
		len(wheels), size/1e6, r.cpu.Seconds(), classic.Seconds(), ratio, r.rss/1e6)
	if ratio < 4 {
		t.Errorf("the build took %.1f CPU seconds, the usual way %.1f: %.1f times as much, want at least 4", r.cpu.Seconds(), classic.Seconds(), ratio)
	}
	if r.rss > 150e6 {
		t.Errorf("the build's peak RSS was %d MB, want less than 150", r.rss/1e6)
	}
}

// wheels returns the files of the plan's wheels, in the cache, and their sizes'
// sum in bytes.
func (e env) wheels(t *testing.T, args []string) (files []string, size int64) {
	t.Helper()
	r := e.inlay(t, append([]string{"plan", "--format", "json"}, args...)...)
	p, err := plan.Decode(strings.NewReader(r.stdout))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Image().Steps {
		if s.Python == nil {
			continue
		}
		for _, w := range s.Python.Wheels {
			file := filepath.Join(e.cache, "wheels", strings.TrimPrefix(w.Digest, "sha256:"))
			st, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			files, size = append(files, file), size+st.Size()
		}
	}
	return files, size
}

// classic makes one layer of the wheels the usual way and returns its CPU time.
func (e env) classic(t *testing.T, wheels []string) time.Duration {
	t.Helper()
	root := t.TempDir()
	before := cpuTime(t)
	for _, w := range wheels {
		unzip(t, w, root)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "layer.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zw, err := gzip.NewWriterLevel(io.MultiWriter(f, sha256.New()), 6)
	if err != nil {
		t.Fatal(err)
	}
	tw := tar.NewWriter(io.MultiWriter(zw, sha256.New()))
	if err := tw.AddFS(os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []io.Closer{tw, zw} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return cpuTime(t) - before
}

// cpuTime is what this process has used so far.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// unzip unpacks a wheel into a directory, over what is there.
func unzip(t *testing.T, wheel, root string) {
	t.Helper()
	zr, err := zip.OpenReader(wheel)
	if err != nil {
		t.Fatal(err)
	}
	defer zr.Close()
	for _, m := range zr.File {
		if strings.HasSuffix(m.Name, "/") {
			continue
		}
		src, err := m.Open()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(root, m.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		dst, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, fs.FileMode(0o644))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(dst, src); err != nil {
			t.Fatal(err)
		}
		if err := dst.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestE2EConcurrent builds the same thing several times at once on one cache.
func TestE2EConcurrent(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	cache := t.TempDir()
	dir := project(t, "settings:\n  docker:\n    requirements: [requests, numpy==2.1.0]\n", map[string]string{"a.py": ""})
	results := make(chan string)
	for range 4 {
		out := t.TempDir()
		go func() {
			r := command(t, []string{"INLAY_CACHE_DIR=" + cache}, e.program, "build", "-q", "--parent-image", e.parent("debian"), "-o", "oci:"+out+"/image", dir)
			_, digest, _ := strings.Cut(r.stdout, "@")
			if r.err != nil {
				digest = r.stderr
			}
			results <- digest
		}()
	}
	digests := map[string]int{}
	for range 4 {
		digests[<-results]++
	}
	if len(digests) != 1 {
		b, _ := json.Marshal(digests)
		t.Errorf("four builds at once gave %s, want one digest", b)
	}
	must(t, []string{"INLAY_CACHE_DIR=" + cache}, e.program, "cache", "verify")
}
