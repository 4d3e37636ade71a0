// SPDX-License-Identifier: Apache-2.0

package deb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/deb"
	"inlay/assemble/deb/debtest"
	"inlay/layers/xz"
)

// TestProgram unpacks packages by a program that fails, which comes to the same,
// and by one that lies, which is no fault of the package.
func TestProgram(t *testing.T) {
	var started atomic.Int32
	play := func(text string) *xz.Decoder {
		return &xz.Decoder{Least: 1, Start: func(_ context.Context, c xz.Call) (func() error, error) {
			started.Add(1)
			_, _ = io.WriteString(c.Stdout, text)
			return func() error { return errors.New("signal: killed") }, nil
		}}
	}
	for _, block := range []int{0, 1 << 20} {
		t.Run(fmt.Sprint("block ", block), func(t *testing.T) {
			d := sample()
			d.Compression, d.Block = ".xz", block
			without, err := unpack(t, d.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			want, err := without.Files()
			if err != nil {
				t.Fatal(err)
			}
			started.Store(0)
			s := deb.NewStore(t.TempDir())
			s.XZ = play("")
			p, err := from(t, s, d.Bytes())
			if err != nil || started.Load() == 0 {
				t.Fatalf("Package with a program that fails = %v, and it was started %d times", err, started.Load())
			}
			got, err := p.Files()
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("with a program that fails the files are %v (-want +got):\n%s", err, diff)
			}
			s = deb.NewStore(t.TempDir())
			s.XZ = play("no tar")
			_, err = from(t, s, d.Bytes())
			var bad *deb.FormatError
			var program *xz.ProgramError
			if !errors.As(err, &program) || errors.As(err, &bad) || !strings.Contains(err.Error(), "package x") {
				t.Errorf("Package with a program that lies = %v, want a *ProgramError of package x", err)
			}
		})
	}
}

// TestProgramDamaged finds the same fault of a package with a program.
func TestProgramDamaged(t *testing.T) {
	d := debtest.Deb{Name: "x", Compression: ".xz", Files: []debtest.File{{Name: "./a", Body: strings.Repeat("a", 1<<20)}}}
	b := d.Bytes()
	b[len(b)-3000] ^= 1
	_, want := unpack(t, b)
	s := deb.NewStore(t.TempDir())
	s.XZ = &xz.Decoder{Least: 1, Start: func(context.Context, xz.Call) (func() error, error) {
		return func() error { return errors.New("exit status 1") }, nil
	}}
	_, err := from(t, s, b)
	if want == nil || err == nil || err.Error() != want.Error() {
		t.Errorf("Package of a damaged one with a program = %v, without %v", err, want)
	}
}
