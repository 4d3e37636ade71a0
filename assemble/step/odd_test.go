// SPDX-License-Identifier: Apache-2.0

package step_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/step"
	"inlay/resolve/plan"
)

// oddWheel writes the wheel that makeWheel does and puts bytes before it or
// behind it.
func oddWheel(t *testing.T, dir string, files ...string) plan.Wheel {
	t.Helper()
	w := makeWheel(t, dir, "odd", files...)
	path := filepath.Join(dir, w.File)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, 0, 0, 0)
	w.Digest = digest(string(b))
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return w
}

var scheme = plan.Scheme{
	Purelib: "/usr/lib", Platlib: "/usr/lib", Scripts: "/usr/bin", Data: "/usr", Headers: "/usr/include",
	Interpreter: "/usr/bin/python3", Version: "3.11",
}

// An installer is a step.Tools that installs wheels the slow way.
type installer struct {
	dir       string
	tree      fstest.MapFS
	err       error
	asked     []string
	removed   int
	notes     []string
	withSlow  bool
	wheelRead string
}

func (i *installer) tools() step.Tools {
	t := step.Tools{
		Wheel: func(_ context.Context, w plan.Wheel) (*os.File, error) { return os.Open(filepath.Join(i.dir, w.File)) },
		Note:  func(s string) { i.notes = append(i.notes, s) },
	}
	if i.withSlow {
		t.Install = func(_ context.Context, f *os.File, w plan.Wheel) (fs.FS, func(), error) {
			b, err := io.ReadAll(f)
			i.asked, i.wheelRead = append(i.asked, w.Name), digest(string(b))
			if err = errors.Join(err, i.err); err != nil {
				return nil, nil, err
			}
			return i.tree, func() { i.removed++ }, nil
		}
	}
	return t
}

// TestOddWheel makes a layer of a wheel that is read and one that isn't.
func TestOddWheel(t *testing.T) {
	dir := t.TempDir()
	in := &installer{dir: dir, withSlow: true, tree: fstest.MapFS{
		"usr/lib/odd.py":                     {Data: []byte("o"), Mode: 0o600},
		"usr/lib/odd-1.0.dist-info/METADATA": {Data: []byte("Name: odd\nVersion: 1.0\n")},
		"usr/lib/odd-1.0.dist-info/WHEEL":    {Data: []byte("Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")},
		"usr/lib/odd-1.0.dist-info/RECORD":   {Data: []byte("")},
	}}
	p := &plan.Python{Scheme: scheme, Wheels: []plan.Wheel{makeWheel(t, dir, "even", "even.py=e"), oddWheel(t, dir, "odd.py=o")}}
	s := plan.Step{Name: "even, odd", Python: p}
	got := list(t, s, in.tools())

	good := makeWheel(t, dir, "odd", "odd.py=o") // of the same name, in a good zip
	fast := list(t, plan.Step{Name: "x", Python: &plan.Python{Scheme: scheme, Wheels: []plan.Wheel{p.Wheels[0], good}}}, in.tools())
	if diff := cmp.Diff(fast, got); diff != "" {
		t.Errorf("the slow way leaves something else (-fast +slow):\n%s", diff)
	}
	if want := []string{"odd"}; !cmp.Equal(in.asked, want) || in.removed != 1 || in.wheelRead != p.Wheels[1].Digest {
		t.Errorf("installed %q and removed %d trees, want only the odd one, and gone; it was read as %s, want %s", in.asked, in.removed, in.wheelRead, p.Wheels[1].Digest)
	}
	want := []string{"wheel odd-1.0-py3-none-any.whl: zeros follow the zip's end record: inlay doesn't read it; uv installed it, and what it left was packed"}
	if diff := cmp.Diff(want, in.notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

// TestOddWheelIsReproducible makes the layer of an odd wheel twice.
func TestOddWheelIsReproducible(t *testing.T) {
	var layers [2]bytes.Buffer
	for i := range layers {
		dir := t.TempDir()
		in := &installer{dir: dir, withSlow: true, tree: fstest.MapFS{
			"usr/bin/odd":                        {Data: []byte("#!/usr/bin/python3\n"), Mode: fs.FileMode([]int{0o755, 0o700}[i])},
			"usr/lib/big.py":                     {Data: []byte(strings.Repeat("abc", 50_000)), Mode: fs.FileMode([]int{0o644, 0o600}[i])},
			"usr/lib/odd-1.0.dist-info/METADATA": {Data: []byte("Name: odd\nVersion: 1.0\n")},
			"usr/lib/odd-1.0.dist-info/RECORD":   {Data: []byte([]string{"", "gone,,\nbig.py,,150000\n"}[i])},
		}}
		p := &plan.Python{Scheme: scheme, Wheels: []plan.Wheel{oddWheel(t, dir, "big.py=abc")}}
		if _, err := step.Write(t.Context(), &layers[i], plan.Step{Name: "odd", Python: p}, in.tools()); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(layers[0].Bytes(), layers[1].Bytes()) {
		t.Error("the layers of one wheel differ")
	}
}

type hinted struct{ error }

func (hinted) Hint() string { return "install uv" }

// TestOddWheelRefused tells why a wheel is refused when uv can't help.
func TestOddWheelRefused(t *testing.T) {
	dir := t.TempDir()
	odd := oddWheel(t, dir)
	const problem = `making layer "odd": wheel odd-1.0-py3-none-any.whl: zeros follow the zip's end record`
	const another = "require another version: odd!=1.0"
	tests := []struct {
		name       string
		in         installer
		want, hint string
	}{
		{"no slow way", installer{}, problem, another},
		{"uv fails", installer{withSlow: true, err: errors.New("out of luck")}, problem + "; inlay doesn't read such wheels, and uv could not install it: out of luck", another},
		{"no uv", installer{withSlow: true, err: hinted{errors.New("no uv")}}, problem + "; inlay doesn't read such wheels, and uv could not install it: no uv", "install uv; or " + another},
		{"uv leaves nothing", installer{withSlow: true, tree: fstest.MapFS{}}, problem + "; inlay doesn't read such wheels, and uv could not install it: wheel odd-1.0-py3-none-any.whl: installing it made 0 .dist-info directories, not one", another},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.dir = dir
			p := &plan.Python{Scheme: scheme, Wheels: []plan.Wheel{odd}}
			_, err := step.Write(t.Context(), io.Discard, plan.Step{Name: "odd", Python: p}, tt.in.tools())
			var h interface {
				error
				Hint() string
			}
			if err == nil || err.Error() != tt.want || !errors.As(err, &h) || !strings.HasSuffix(h.Hint(), tt.hint) {
				t.Errorf("Write = %v, want %s\nwith the hint %s", err, tt.want, tt.hint)
			}
			if tt.in.tree != nil && tt.in.removed != 1 {
				t.Errorf("%d trees were removed, want the one", tt.in.removed)
			}
		})
	}
}
