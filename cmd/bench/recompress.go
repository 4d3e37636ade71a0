// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	stdgzip "compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"inlay/resolve/plan"
)

// compressors make a layer of a tar the usual way.
var compressors = []struct {
	name string
	make func(io.Writer) (io.WriteCloser, error)
}{
	{"unzip, tar, gzip -6 (klauspost/compress)", func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, 6) }},
	{"unzip, tar, gzip -6 (Go's compress/gzip)", func(w io.Writer) (io.WriteCloser, error) { return stdgzip.NewWriterLevel(w, 6) }},
	{"unzip, tar, zstd (klauspost/compress)", func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) }},
}

// recompressEnv makes a process of this program one that recompresses.
const recompressEnv = "BENCH_RECOMPRESS"

// recompress reads the names of wheels, makes one layer of them all that goes
// nowhere, and prints its size.
func recompress(name string, in io.Reader, out io.Writer) error {
	size := &counter{}
	for _, c := range compressors {
		if c.name != name {
			continue
		}
		zw, err := c.make(io.MultiWriter(size, sha256.New()))
		if err != nil {
			return err
		}
		tw := tar.NewWriter(io.MultiWriter(zw, sha256.New()))
		for lines := bufio.NewScanner(in); lines.Scan(); {
			if err := unpack(tw, lines.Text()); err != nil {
				return err
			}
		}
		if err := tw.Close(); err != nil {
			return err
		}
		if err := zw.Close(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprint(out, size.n)
	return err
}

// unpack copies the files of a wheel.
func unpack(tw *tar.Writer, wheel string) error {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer z.Close() //nolint:errcheck // only read
	for _, f := range z.File {
		if f.FileInfo().IsDir() {
			continue
		}
		if err := tw.WriteHeader(&tar.Header{Name: f.Name, Mode: 0o644, Size: int64(f.UncompressedSize64)}); err != nil { //nolint:gosec // a wheel's file is smaller
			return err
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		if _, err := io.Copy(tw, r); err != nil { //nolint:gosec // wheels of an index that we chose
			return err
		}
	}
	return nil
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// compression compares making layers of the wheels by transplanting their
// streams, which is a whole build with inlay, with the usual ways.
func (b *bench) compression(ctx context.Context, w workload, report io.Writer) error {
	dir := filepath.Join(b.work, "compression")
	project := filepath.Join(dir, "project")
	if err := writeProject(project, w.requirements); err != nil {
		return err
	}
	t := &inlay{bench: b, dir: filepath.Join(dir, "cache")}
	j := job{dir: project, parent: b.parentRef("now"), target: b.registry + "/" + w.name + "/compression:latest", fresh: true}
	fmt.Fprintf(report, "\n| layers of the same wheels | CPU s | MB |\n|---|--:|--:|\n")
	if _, err := t.build(ctx, j); err != nil { // downloads
		return err
	}
	j.target = b.registry + "/" + w.name + "/compression-again:latest"
	before := b.pushed.Load()
	u, err := t.build(ctx, j)
	if err != nil {
		return err
	}
	p, err := b.plan(ctx, w.requirements)
	if err != nil {
		return err
	}
	fmt.Fprintf(report, "| inlay: the wheels' own streams, the whole build | %.1f | %d |\n", u.cpu.Seconds(), (b.pushed.Load()-before)/1e6)
	for _, c := range compressors {
		cmd := exec.CommandContext(ctx, os.Args[0]) //nolint:gosec // this program
		cmd.Env = append(os.Environ(), recompressEnv+"="+c.name)
		cmd.Stdin = strings.NewReader(strings.Join(b.index.files(p), "\n"))
		out := &strings.Builder{}
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
		u := usage{cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
		var size int64
		if _, err := fmt.Sscan(out.String(), &size); err != nil {
			return err
		}
		fmt.Fprintf(report, "| %s | %.1f | %d |\n", c.name, u.cpu.Seconds(), size/1e6)
	}
	return nil
}

// files returns the paths of a plan's wheels.
func (x *index) files(p plan.Plan) (all []string) {
	for _, s := range p.Image().Steps {
		if s.Python == nil {
			continue
		}
		for _, w := range s.Python.Wheels {
			all = append(all, filepath.Join(x.store.Dir, strings.TrimPrefix(w.Digest, "sha256:")))
		}
	}
	return all
}
