// SPDX-License-Identifier: Apache-2.0

package python

import (
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/cache/disk"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
)

// TestStored holds that an answer comes back as it was stored, whatever names its
// wheels have.
func TestStored(t *testing.T) {
	numpy := plan.Wheel{Name: "numpy", Version: "2.1.0", File: "numpy-2.1.0.whl", URL: "https://index.example/numpy.whl?a=1&b=<2>", Digest: "sha256:01", Size: 3}
	six := plan.Wheel{Name: "six", Version: "1.17", File: "six-1.17.whl", URL: "file:///a b/six.whl", Digest: "sha256:02"}
	odd, built := six, six
	odd.File = "six\t1.17\n.whl"
	built.Source = plan.Source{File: "six.tar.gz", Command: "uv build\tsix"}
	for name, wheels := range map[string][]plan.Wheel{
		"wheels": {numpy, six}, "no wheels": nil, "an odd name": {numpy, odd}, "a built one": {built, numpy},
	} {
		r := &Resolver{Store: disk.Values{Dir: t.TempDir()}}
		want := &answer{Parent: "sha256:0a", Warnings: []string{"a\nb"}, Resolution: Resolution{Wheels: wheels, Remove: []parent.Dist{{Name: "six"}}, Torch: "CPU"}}
		if err := r.remember("python-x", want); err != nil {
			t.Fatal(err)
		}
		got, err := r.recall("python-x")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestStoredDamaged takes what no build stored for nothing.
func TestStoredDamaged(t *testing.T) {
	for _, text := range []string{"", "x", "[]", "{}\na\tb", "{}\n" + strings.Repeat("\t", wheelFields-1), "{}\n\n"} {
		v := disk.Values{Dir: t.TempDir()}
		if err := v.Put("python-x", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if a, err := (&Resolver{Store: v}).recall("python-x"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q is %+v, %v", text, a, err)
		}
	}
}

// TestWheelFields holds that a line tells all of a wheel but its source.
func TestWheelFields(t *testing.T) {
	w := plan.Wheel{Name: "a", Version: "b", File: "c", URL: "d", Digest: "e", Size: 6}
	if diff := cmp.Diff("a\tb\tc\td\te\t6\n", wheelLines([]plan.Wheel{w})); diff != "" {
		t.Error(diff)
	}
	v := reflect.ValueOf(w)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() != (name == "Source") {
			t.Errorf("nothing tells %s", name)
		}
	}
}
