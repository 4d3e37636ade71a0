// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/parent"
	"inlay/resolve/python"
	"inlay/resolve/python/arguments"
	"inlay/resolve/python/pythontest"
)

// An arguing is an argument, and what it makes of requirements in a parent that
// has beta 1.0.
type arguing struct {
	name   string
	values []string // nil: a bare flag
	lines  []string
	want   string // the wheels
}

// shared are those of both installers.
func shared() []arguing {
	return []arguing{
		{"no-deps", nil, []string{"alpha"}, "alpha-2.0"},
		{"upgrade", nil, []string{"beta"}, "beta-1.5"},
		{"force-reinstall", nil, []string{"beta==1.0"}, "beta-1.0"},
		{"only-binary", []string{":all:"}, []string{"beta>=1.5", "alpha==1.0"}, "alpha-1.0 beta-1.5"},
		{"no-binary", []string{"other"}, []string{"beta>=1.5"}, "beta-1.5"},
		{"pre", nil, []string{"early"}, "early-2.0rc1"},
		{"timeout", []string{"30"}, []string{"beta>=1.5"}, "beta-1.5"},
		{"retries", []string{"1"}, []string{"beta>=1.5"}, "beta-1.5"},
	}
}

// argue resolves with an argument.
func argue(t *testing.T, r *python.Resolver, installer string, tt arguing) {
	t.Helper()
	files := packages()
	for _, name := range []string{"early-1.0-py3-none-any.whl", "early-2.0rc1-py3-none-any.whl"} {
		file, content := pythontest.Wheel(name)
		files[file] = content
	}
	given := []arguments.Given{{Name: tt.name, Values: tt.values, Null: tt.values == nil}}
	set, err := arguments.Read(installer, given)
	if err != nil {
		t.Fatal(err)
	}
	dists := []parent.Dist{dist("beta", "1.0")}
	got, err := r.Resolve(t.Context(), python.Request{
		Inventory: pythontest.Debian(dists...), View: view(t, metadata(dists...)), Installer: installer, Groups: group(t, tt.lines...),
		Index: at(t, newIndex(t, files).url()), Arguments: python.Arguments{Flags: set.Flags, Both: set.Both, Env: set.Env},
	})
	if err != nil {
		t.Errorf("%s %q: %v", tt.name, tt.values, err)
		return
	}
	var wheels []string
	for _, w := range got.Wheels {
		wheels = append(wheels, w.Name+"-"+w.Version)
	}
	if diff := cmp.Diff(tt.want, strings.Join(wheels, " ")); diff != "" {
		t.Errorf("%s %q (-want +got):\n%s", tt.name, tt.values, diff)
	}
}

// The real uv takes the arguments and does what they say.
func TestUVArguments(t *testing.T) {
	r := ask(t)
	for _, tt := range append(shared(), []arguing{
		{"resolution", []string{"lowest"}, []string{"beta>1"}, "beta-1.5"},
		{"resolution", []string{"lowest"}, []string{"alpha>=1"}, "alpha-1.0"},
		{"prerelease", []string{"allow"}, []string{"early"}, "early-2.0rc1"},
		{"prerelease", []string{"disallow"}, []string{"early"}, "early-1.0"},
		{"upgrade-package", []string{"beta", "alpha"}, []string{"beta"}, "beta-1.5"},
		{"reinstall", nil, []string{"beta==1.0"}, "beta-1.0"},
		{"reinstall-package", []string{"beta"}, []string{"beta==1.0"}, "beta-1.0"},
		{"no-build", nil, []string{"beta>=1.5"}, "beta-1.5"},
		{"index-strategy", []string{"unsafe-best-match"}, []string{"beta>=1.5"}, "beta-1.5"},
	}...) {
		argue(t, r, "uv", tt)
	}
}

// The real pip takes the arguments and does what they say.
func TestPipArguments(t *testing.T) {
	r := askPip(t)
	for _, tt := range append(shared(), []arguing{
		{"upgrade-strategy", []string{"eager"}, []string{"beta>1"}, "beta-1.5"},
		{"ignore-installed", nil, []string{"beta==1.0"}, "beta-1.0"},
		{"ignore-requires-python", nil, []string{"beta>1"}, "beta-1.5"},
		{"prefer-binary", nil, []string{"beta>1"}, "beta-1.5"},
	}...) {
		argue(t, r, "pip", tt)
	}
}

// TestFileOptions holds that the real installers do what options of requirements
// files say, that an answer is another with them, and that the settings may say
// the same.
func TestFileOptions(t *testing.T) {
	tests := []struct {
		installer string
		resolver  *python.Resolver
	}{{"uv", ask(t)}, {"pip", askPip(t)}}
	for _, tt := range tests {
		argue(t, tt.resolver, tt.installer, arguing{"pre", nil, []string{"--pre --only-binary=:all:", "--no-binary other", "early"}, "early-2.0rc1"})
		argue(t, tt.resolver, tt.installer, arguing{"timeout", []string{"30"}, []string{"early", "--pre"}, "early-2.0rc1"})
		_, err := tt.resolver.Resolve(t.Context(), python.Request{
			Inventory: pythontest.Debian(), View: view(t, metadata()), Installer: tt.installer, Groups: group(t, "alpha", "--require-hashes"),
			Index: at(t, newIndex(t, packages()).url()),
		})
		if err == nil || !strings.Contains(err.Error(), "hash") {
			t.Errorf("%s: Resolve with --require-hashes and without a hash = %v, want an error that says so", tt.installer, err)
		}
	}
}
