// SPDX-License-Identifier: Apache-2.0

package recipe_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"inlay/resolve/dockerfile"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/recipe"
	"inlay/resolve/source"
)

// image makes an image of files, "path" with a slash at its end for a directory,
// "path=content", or "path->target".
func image(t *testing.T, config v1.Config, files ...string) v1.Image {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f, Mode: 0o755, Typeflag: tar.TypeDir}
		body := ""
		if name, content, ok := strings.Cut(f, "="); ok {
			h, body = &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}, content
		} else if name, to, ok := strings.Cut(f, "->"); ok {
			h = &tar.Header{Name: name, Mode: 0o777, Typeflag: tar.TypeSymlink, Linkname: to}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := source.Scratch("linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, l); err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.Config(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

func inspect(ctx context.Context, t *testing.T, img v1.Image) *parent.Inventory {
	t.Helper()
	inv, err := parent.Inspect(ctx, parent.Options{Image: img, Name: "base", Reference: "base@sha256:1"})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// context lists files of a context, a directory with a slash at its end.
func files(names ...string) *plan.Files {
	f := &plan.Files{}
	for _, n := range names {
		x := plan.File{Path: strings.TrimSuffix(n, "/"), Mode: 0o644, Size: 1, Digest: "sha256:" + n}
		if strings.HasSuffix(n, "/") {
			x = plan.File{Path: strings.TrimSuffix(n, "/"), Mode: fs.ModeDir | 0o755}
		}
		f.Files = append(f.Files, x)
	}
	return f
}

// options are those of a Dockerfile on a small base image.
func options(t *testing.T, text string) recipe.Options {
	t.Helper()
	f, err := dockerfile.Parse("Dockerfile", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	base := inspect(t.Context(), t, image(t, v1.Config{Env: []string{"PATH=/bin"}},
		"etc/", "etc/passwd=root:x:0:0::/root:/bin/sh\napp:x:7:8::/app:/bin/sh\n", "etc/apt/", "etc/apt/sources.list=deb http://deb.example/debian stable main\n",
		"usr/", "usr/lib/", "lib->usr/lib", "opt/", "opt/file=x"))
	return recipe.Options{
		File: f, Context: files("a.txt", "b.txt", "dir/", "dir/c.txt", "dir/deep/", "dir/deep/d.txt", "data.tar"),
		Options: dockerfile.Options{Platform: "linux/amd64", Args: []string{"GIVEN=1", "TOKEN=secret"}, Secret: func(n, _ string) bool { return n == "TOKEN" }},
		Head: func(name string) ([]byte, error) {
			if name == "data.tar" {
				return []byte("\x1f\x8b"), nil
			}
			return []byte("text"), nil
		},
		Open: func(ctx context.Context, name string) (*parent.Inventory, error) {
			if name == "onbuild" {
				return inspect(ctx, t, image(t, v1.Config{OnBuild: []string{"RUN x"}}, "etc/")), nil
			}
			return base, nil
		},
		Look: func(context.Context, []plan.Stage, *parent.Inventory) (*parent.Inventory, error) {
			return nil, errors.New("nothing may be looked at")
		},
		Values: map[string]string{},
	}
}

// told writes the steps of a stage in lines.
func told(s plan.Stage) (lines []string) {
	for _, st := range s.Steps {
		switch {
		case st.Files != nil:
			line := fmt.Sprintf("files of %s in %s for %d:%d:", st.Files.From, st.Files.Target, st.Files.UID, st.Files.GID)
			for _, f := range st.Files.Files {
				line += " " + f.Path
				if f.Source != "" {
					line += "<" + f.Source
				}
				if f.Mode.IsDir() {
					line += "/"
				}
				if p := f.Mode.Perm(); p != 0o644 && p != 0o755 || f.Mode&fs.ModeSetuid != 0 {
					line += fmt.Sprintf("(%v)", f.Mode)
				}
			}
			lines = append(lines, line)
		case st.Run != nil:
			lines = append(lines, fmt.Sprintf("run %q as %q in %s", st.Run.Command[len(st.Run.Command)-1], st.Run.User, st.Run.Dir))
		}
	}
	return lines
}

// TestFiles shows where files go.
func TestFiles(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"COPY a.txt /x", []string{"files of dockerfile in / for 0:0: x<a.txt"}},
		{"COPY a.txt /x/", []string{"files of dockerfile in / for 0:0: x/ x/a.txt<a.txt"}},
		{"COPY a.txt /opt", []string{"files of dockerfile in /opt for 0:0: a.txt"}},
		{"COPY a.txt /opt/file", []string{"files of dockerfile in /opt for 0:0: file<a.txt"}},
		{"COPY a.txt b.txt /opt/n/m/", []string{"files of dockerfile in /opt for 0:0: n/ n/m/ n/m/a.txt<a.txt n/m/b.txt<b.txt"}},
		{"COPY dir /opt", []string{"files of dockerfile in /opt for 0:0: c.txt<dir/c.txt deep/ deep/d.txt<dir/deep/d.txt"}},
		{"COPY dir/../dir/ /lib/x", []string{"files of dockerfile in /usr/lib for 0:0: x/ x/c.txt<dir/c.txt x/deep/ x/deep/d.txt<dir/deep/d.txt"}},
		{"COPY *.txt /opt/", []string{"files of dockerfile in /opt for 0:0: a.txt b.txt"}},
		{"COPY a.tx? /opt/one", []string{"files of dockerfile in /opt for 0:0: one<a.txt"}},
		{"COPY di? /opt/one", []string{"files of dockerfile in /opt for 0:0: one/ one/c.txt<dir/c.txt one/deep/ one/deep/d.txt<dir/deep/d.txt"}},
		{"COPY . /opt", []string{"files of dockerfile in /opt for 0:0: a.txt b.txt data.tar dir/ dir/c.txt dir/deep/ dir/deep/d.txt"}},
		{"WORKDIR /w\nCOPY a.txt .\nCOPY a.txt ./", []string{"files of dockerfile in / for 0:0: w/", "files of dockerfile in /w for 0:0: a.txt", "files of dockerfile in /w for 0:0: a.txt"}},
		{"WORKDIR /opt", nil},
		{"USER app\nWORKDIR /opt/w", []string{"files of dockerfile in /opt for 7:8: w/"}},
		{"USER 7\nWORKDIR w", []string{"files of dockerfile in / for 7:7: w/"}},
		{"COPY --chown=app a.txt /opt/", []string{"files of dockerfile in /opt for 7:8: a.txt"}},
		{"COPY --chown=9:8 --chmod=4711 dir/deep /opt/n", []string{"files of dockerfile in /opt for 9:8: n/ n/d.txt<dir/deep/d.txt(urwx--x--x)"}},
		{"ADD a.txt /opt/", []string{"files of dockerfile in /opt for 0:0: a.txt"}},
		{"USER app\nRUN x", []string{`run "x" as "app" in /`}},
	}
	for _, tt := range tests {
		r, err := recipe.Resolve(t.Context(), options(t, "FROM base\n"+tt.text))
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if diff := cmp.Diff(tt.want, told(r.Stages[0])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.text, diff)
		}
	}
}

// TestRun shows what is known of a command.
func TestRun(t *testing.T) {
	o := options(t, "FROM base\nARG GIVEN\nARG TOKEN\nARG OWN=2\nENV E=$GIVEN\nRUN --mount=type=cache,target=/c --mount=type=secret,id=s x\n")
	r, err := recipe.Resolve(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	got := *r.Stages[0].Steps[0].Run
	digest := got.ArgsDigest
	got.Parent, got.ArgsDigest = "", ""
	want := plan.Run{
		Command: []string{"/bin/sh", "-c", "x"}, Dir: "/", Env: []string{"PATH=/bin", "E=1", "OWN=2"}, Exact: true, Args: []string{"GIVEN", "TOKEN"},
		Caches: []string{"/c"}, Secrets: []string{"s"}, Hosts: []string{"deb.example"}, Setting: "Dockerfile:6: RUN",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the command (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"GIVEN": "1", "TOKEN": "secret"}, o.Values); diff != "" {
		t.Errorf("the values that no plan holds (-want +got):\n%s", diff)
	}
	for _, change := range []struct {
		args []string
		same bool
	}{{[]string{"GIVEN=1", "TOKEN=other"}, true}, {[]string{"GIVEN=2", "TOKEN=secret"}, false}} {
		o := options(t, "FROM base\nARG GIVEN\nARG TOKEN\nRUN x\n")
		o.Options.Args = change.args
		r, err := recipe.Resolve(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if same := r.Stages[0].Steps[0].Run.ArgsDigest == digest; same != change.same {
			t.Errorf("with the arguments %v the digest is the same: %v, want %v", change.args, same, change.same)
		}
	}
}

// TestLook makes an image where an instruction needs to know what a command did,
// and only there.
func TestLook(t *testing.T) {
	o := options(t, "FROM base AS one\nRUN a\nRUN b\nCOPY a.txt /srv/\nFROM one\nCOPY b.txt /srv/\nRUN c\n")
	var looks []int
	o.Look = func(ctx context.Context, stages []plan.Stage, _ *parent.Inventory) (*parent.Inventory, error) {
		looks = append(looks, len(stages[len(stages)-1].Steps))
		return inspect(ctx, t, image(t, v1.Config{}, "etc/", "srv/")), nil
	}
	r, err := recipe.Resolve(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`run "a" as "" in /`, `run "b" as "" in /`, "files of dockerfile in /srv for 0:0: a.txt", "files of dockerfile in /srv for 0:0: b.txt", `run "c" as "" in /`}
	if diff := cmp.Diff(want, told(r.Stages[0])); diff != "" {
		t.Errorf("the steps (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{2}, looks); diff != "" {
		t.Errorf("images were made of so many steps (-want +got):\n%s", diff)
	}
}

// TestErrors names what can't be had, with its line.
func TestErrors(t *testing.T) {
	tests := []struct{ text, want, hint string }{
		{"FROM base\nCOPY nothing /x", "Dockerfile:2: COPY: there is no nothing in the context", "build_context_root"},
		{"FROM base\nCOPY [z /x", `Dockerfile:2: COPY: "[z" is no pattern: syntax error in pattern`, "brackets"},
		{"FROM base\nCOPY a.txt /opt/file/", "Dockerfile:2: COPY: /opt/file is no directory", "another destination"},
		{"FROM base\nWORKDIR /opt/file/x", "Dockerfile:2: WORKDIR: /opt/file is no directory", "another"},
		{"FROM base\nCOPY --chown=nobody a.txt /x", "Dockerfile:2: COPY: there is no user or group nobody in the image", "useradd"},
		{"FROM base\nADD data.tar /x", "Dockerfile:2: ADD: data.tar may be an archive, which Docker would unpack", "COPY"},
		{"FROM onbuild\nRUN y", "Dockerfile:1: FROM: onbuild has ONBUILD instructions, which are not run", "RUN x"},
	}
	for _, tt := range tests {
		_, err := recipe.Resolve(t.Context(), options(t, tt.text))
		var e *dockerfile.Error
		if !errors.As(err, &e) || e.Error() != tt.want || !strings.Contains(e.Hint(), tt.hint) {
			t.Errorf("%q gave %v, want %s with a hint about %s", tt.text, err, tt.want, tt.hint)
		}
	}
	o := options(t, "FROM base\nCOPY a /b\n")
	o.Context = nil
	if _, err := recipe.Resolve(t.Context(), o); err == nil || err.Error() != "Dockerfile:2: COPY: there is no context to copy from" {
		t.Errorf("without a context: %v", err)
	}
}
