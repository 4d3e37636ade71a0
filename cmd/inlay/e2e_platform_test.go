// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"inlay/layers"
	"inlay/resolve/parent/parenttest"
)

// A foreign platform is that of a parent whose programs can't be run here: its
// Python and its C library are headers of ELF files and nothing more.
type foreign struct {
	platform string
	machine  elf.Machine
	bits     int
	python   string // "3.12.11", "3.14.0t"
	glibc    string // "2.36"; "" is musl
}

// program is an ELF file of the platform.
func (f foreign) program(interp, text string, defines ...string) string {
	return parenttest.ELF{Machine: uint16(f.machine), Bits: f.bits, Interp: interp, Text: text, Defines: defines}.String()
}

// files are those of a parent with a Python in /usr/local.
func (f foreign) files() map[string]string {
	version := strings.TrimSuffix(f.python, "t")
	minor := version[:strings.LastIndex(version, ".")] + strings.TrimPrefix(f.python, version)
	loader := "/lib/ld-linux.so"
	files := map[string]string{"usr/local/lib/python" + minor + "/os.py": ""}
	if f.glibc == "" {
		loader = "/lib/ld-musl-any.so.1"
		files["lib/ld-musl-any.so.1"] = f.program("", "\x001.2.5\x00")
	} else {
		files["lib/libc.so.6"] = f.program("", "", "GLIBC_2.2.5", "GLIBC_"+f.glibc)
	}
	files["usr/local/bin/python3"] = f.program(loader, "\x00"+version+"\x00")
	if strings.HasSuffix(f.python, "t") {
		files["usr/local/lib/python"+minor+"/_sysconfigdata_t_linux_any.py"] = "build_time_vars = {'ABIFLAGS': 't',\n 'Py_GIL_DISABLED': 1}"
	}
	return files
}

// parent writes the parent as an OCI layout and returns its name.
func (f foreign) parent(t *testing.T) string {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	files := f.files()
	for _, name := range sortedKeys(files) {
		if err := errors.Join(tw.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name]))}), text(tw, files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	p, err := v1.ParsePlatform(f.platform)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, layer); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "parent")
	where, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := where.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	return "oci:" + dir
}

func text(w io.Writer, s string) error {
	_, err := io.WriteString(w, s)
	return err
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// machines counts the ELF files in a layout by machine and class, and how many
// of them are extension modules and libraries.
func machines(t *testing.T, dir string) (count map[string]int, modules int) {
	t.Helper()
	ls, err := onlyImage(t, dir).Layers()
	if err != nil {
		t.Fatal(err)
	}
	count = map[string]int{}
	for _, l := range ls {
		modules += countELF(t, l, count)
	}
	return count, modules
}

// countELF counts the ELF files of one layer, and returns how many extension
// modules and libraries are among them.
func countELF(t *testing.T, l v1.Layer, count map[string]int) (modules int) {
	t.Helper()
	rc, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	r, err := layers.Uncompress(rc)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return modules
		}
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 20)
		if _, err := io.ReadFull(tr, head); err != nil || !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
			continue
		}
		count[fmt.Sprint(elf.Machine(uint16(head[18])|uint16(head[19])<<8), " ", elf.Class(head[elf.EI_CLASS]))]++
		if strings.Contains(path.Base(h.Name), ".so") {
			modules++
		}
	}
}

// wheels returns the file names of the wheels in a plan.
func wheels(t *testing.T, plan string) (files []string) {
	t.Helper()
	var p struct {
		Stages []struct {
			Steps []struct {
				Python *struct{ Wheels []struct{ File string } }
			}
		}
	}
	if err := json.Unmarshal([]byte(plan), &p); err != nil {
		t.Fatalf("%v in %s", err, plan)
	}
	for _, s := range p.Stages {
		for _, step := range s.Steps {
			if step.Python != nil {
				for _, w := range step.Python.Wheels {
					files = append(files, w.File)
				}
			}
		}
	}
	return files
}

// TestE2EForeignPlatform builds for platforms that are not this machine's: the
// wheels fit, every ELF file is the platform's, and nothing was emulated.
func TestE2EForeignPlatform(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	tests := []struct {
		name         string
		foreign      foreign
		requirements string
		wheels       []string // parts of file names that have to be there
		modules      int      // at least
	}{
		{
			"arm64",
			foreign{"linux/arm64", elf.EM_AARCH64, 64, "3.12.11", "2.36"},
			"numpy==2.2.6, pydantic==2.11.7, cryptography==45.0.5, orjson==3.10.18",
			[]string{"numpy-2.2.6-cp312-cp312-manylinux_2_17_aarch64", "cryptography-45.0.5-cp311-abi3-manylinux_2_34_aarch64"},
			20,
		},
		{
			"amd64",
			foreign{"linux/amd64", elf.EM_X86_64, 64, "3.12.11", "2.36"},
			"numpy==2.2.6, cryptography==45.0.5",
			[]string{"numpy-2.2.6-cp312-cp312-manylinux_2_17_x86_64", "cryptography-45.0.5-cp311-abi3-manylinux_2_34_x86_64"},
			20,
		},
		{
			"arm v7",
			foreign{"linux/arm/v7", elf.EM_ARM, 32, "3.12.11", "2.36"},
			"pydantic==2.11.7",
			[]string{"pydantic_core-2.33.2-cp312-cp312-manylinux_2_17_armv7l"},
			1,
		},
		{
			"musl",
			foreign{"linux/amd64", elf.EM_X86_64, 64, "3.12.11", ""},
			"numpy==2.2.6, pydantic==2.11.7",
			[]string{"numpy-2.2.6-cp312-cp312-musllinux_1_2_x86_64", "pydantic_core-2.33.2-cp312-cp312-musllinux_1_1_x86_64"},
			20,
		},
		{
			"musl on arm64",
			foreign{"linux/arm64", elf.EM_AARCH64, 64, "3.13.5", ""},
			"numpy==2.2.6",
			[]string{"numpy-2.2.6-cp313-cp313-musllinux_1_2_aarch64"},
			20,
		},
		{
			"free-threaded 3.13",
			foreign{"linux/amd64", elf.EM_X86_64, 64, "3.13.5t", "2.36"},
			"numpy==2.2.6",
			[]string{"numpy-2.2.6-cp313-cp313t-manylinux_2_17_x86_64"},
			20,
		},
		{
			"free-threaded 3.14 on arm64",
			foreign{"linux/arm64", elf.EM_AARCH64, 64, "3.14.0t", "2.36"},
			"markupsafe==3.0.3",
			[]string{"markupsafe-3.0.3-cp314-cp314t-manylinux2014_aarch64"},
			1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := project(t, "settings:\n  docker:\n    parent_image: "+tt.foreign.parent(t)+"\n    requirements: ["+tt.requirements+"]\n", map[string]string{"main.py": ""})
			args := []string{"--platform", tt.foreign.platform, dir}
			files := wheels(t, e.inlay(t, append([]string{"plan", "--format", "json"}, args...)...).stdout)
			for _, want := range tt.wheels {
				if !slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(f, want) }) {
					t.Errorf("the wheels are %q, want %s…", files, want)
				}
			}
			out := t.TempDir()
			e.inlay(t, append([]string{"build", "-o", "oci:" + out + "/image"}, args...)...)
			class := elf.ELFCLASS64
			if tt.foreign.bits == 32 {
				class = elf.ELFCLASS32
			}
			count, modules := machines(t, out+"/image")
			if n := count[fmt.Sprint(tt.foreign.machine, " ", class)]; len(count) != 1 || n == 0 || modules < tt.modules {
				t.Errorf("the image holds ELF files for %v with %d modules, want at least %d, all for %v", count, modules, tt.modules, tt.foreign.machine)
			}
			e.report(t, "%s: ELF files %v", strings.Join(files, " "), count)
		})
	}
}

// TestE2EForeignDigest builds for a foreign platform on one processor and with
// nothing cached: the digest is that of the build with both.
func TestE2EForeignDigest(t *testing.T) {
	e := e2e(t)
	f := foreign{"linux/arm64", elf.EM_AARCH64, 64, "3.12.11", "2.36"}
	dir := project(t, "settings:\n  docker:\n    parent_image: "+f.parent(t)+"\n    requirements: [numpy==2.2.6, orjson==3.10.18]\n", map[string]string{"main.py": ""})
	args := func(n int) []string {
		return []string{"build", "--platform", f.platform, "-o", fmt.Sprintf("oci:%s/%d", t.TempDir(), n), dir}
	}
	digest := func(r outcome) string {
		_, d, _ := strings.Cut(strings.TrimSpace(r.stdout), "@")
		return d
	}
	want := digest(e.inlay(t, args(1)...))
	cold := must(t, []string{"INLAY_CACHE_DIR=" + t.TempDir(), "GOMAXPROCS=1", "PATH=/usr/bin:/bin"}, e.program, args(2)...)
	if got := digest(cold); got != want || !strings.HasPrefix(got, "sha256:") {
		t.Errorf("on one processor with a cold cache the digest is %q, else %q", got, want)
	}
}

// TestE2ENoWheel asks for packages that have no wheel for a platform: the error
// names the package and the platform.
func TestE2ENoWheel(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	tests := []struct {
		name        string
		foreign     foreign
		requirement string
		want        []string
	}{
		{"arm v7", foreign{"linux/arm/v7", elf.EM_ARM, 32, "3.12.11", "2.36"}, "numpy==2.2.6", []string{"numpy", "2.2.6", "armv7l"}},
		{"musl", foreign{"linux/amd64", elf.EM_X86_64, 64, "3.12.11", ""}, "torch==2.7.1", []string{"torch", "2.7.1", "musl"}},
		{"free-threaded", foreign{"linux/amd64", elf.EM_X86_64, 64, "3.13.5t", "2.36"}, "orjson==3.10.18", []string{"orjson", "3.10.18", "free-threaded Python 3.13"}},
		{"an old glibc", foreign{"linux/amd64", elf.EM_X86_64, 64, "3.12.11", "2.17"}, "numpy==2.3.5", []string{"numpy", "2.3.5", "glibc 2.17"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := project(t, "settings:\n  docker:\n    parent_image: "+tt.foreign.parent(t)+"\n    requirements: ["+tt.requirement+"]\n", map[string]string{"main.py": ""})
			r := command(t, []string{"INLAY_CACHE_DIR=" + e.cache}, e.program, "plan", "--platform", tt.foreign.platform, dir)
			for _, want := range append(tt.want, "hint: ") {
				if r.err == nil || !strings.Contains(r.stderr, want) {
					t.Errorf("plan: %v, %q, want an error with %q", r.err, r.stderr, want)
				}
			}
		})
	}
}
