// SPDX-License-Identifier: Apache-2.0

package version_test

import (
	"errors"
	"math/rand/v2"
	"os/exec"
	"testing"

	"inlay/layers/version"
)

// sorted are versions from the oldest to the newest.
var sorted = []string{
	"0~~", "0~~a", "0~", "0", "0+", "0.1~rc1", "0.1-0~1", "0.1-0", "0.1-0+b1", "0.1-1~bpo12+1", "0.1-1", "0.1-1ubuntu1", "0.1-1.1", "0.1-2",
	"0.1a", "0.1b", "0.1+b", "0.1.1", "0.2", "0.10", "1.0~rc1-2", "1.0-1", "1.0a-1", "1.0+dfsg-1", "1.2.3", "1.10", "9", "10", "20240101",
	"123456789012345678901234567890", "1:0", "1:0.1-1", "1:1.0", "2:0", "10:0",
}

func TestCompare(t *testing.T) {
	for i, a := range sorted {
		for j, b := range sorted {
			want := min(max(i-j, -1), 1)
			if got := version.Compare(a, b); got != want {
				t.Errorf("Compare(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestCompareEqual(t *testing.T) {
	for _, pair := range [][2]string{{"1.0", "0:1.0"}, {"1.0", "1.0-0"}, {"1.01", "1.1"}, {"1.0-1", "00:1.00-01"}, {"1", "1-"}, {"0", ""}} {
		if got := version.Compare(pair[0], pair[1]); got != 0 {
			t.Errorf("Compare(%q, %q) = %d, want 0", pair[0], pair[1], got)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, v := range sorted {
		if err := version.Check(v); err != nil {
			t.Errorf("Check(%q) = %v, want nil", v, err)
		}
	}
	for _, v := range []string{"", ":1", "a:1", "-1:1", "2147483648:1", "1:", "1-", "-1", "a", "1 2", "1_2", "1-1_1", "1-1:1", "1é", "1:-1"} {
		var bad *version.Error
		if err := version.Check(v); !errors.As(err, &bad) {
			t.Errorf("Check(%q) = %v, want an *Error", v, err)
		}
	}
}

// dpkg asks dpkg whether a stands to b as op says.
func dpkg(t *testing.T, a, op, b string) bool {
	t.Helper()
	return exec.Command("dpkg", "--compare-versions", a, op, b).Run() == nil
}

// needDpkg skips the test where there is no dpkg.
func needDpkg(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip("there is no dpkg to compare with")
	}
}

// TestCompareAsDpkg compares versions made of what is hard with what dpkg says.
func TestCompareAsDpkg(t *testing.T) {
	needDpkg(t)
	pieces := []string{"0", "1", "10", "01", "9", "~", "~~", "+", ".", "a", "b", "Z", "rc", "-", ".0", "+b1", "~1", "99999999999999999999"}
	chance := rand.New(rand.NewPCG(1, 2))
	random := func() string {
		v := []string{"", "", "0:", "1:"}[chance.IntN(4)] + string(rune('0'+chance.IntN(3)))
		for range chance.IntN(6) {
			v += pieces[chance.IntN(len(pieces))]
		}
		return v
	}
	compared := 0
	for compared < 300 {
		a, b := random(), random()
		if version.Check(a) != nil || version.Check(b) != nil {
			continue
		}
		compared++
		got := version.Compare(a, b)
		for op, want := range map[string]bool{"lt": got < 0, "gt": got > 0} {
			if dpkg(t, a, op, b) != want {
				t.Errorf("dpkg says %v to %q %s %q, Compare says %d", !want, a, op, b, got)
			}
		}
	}
}

// TestCheckAsDpkg compares what is a version.
func TestCheckAsDpkg(t *testing.T) {
	needDpkg(t)
	for _, v := range []string{
		"1", "1-1", "1:1-1", "1:2:3", "1-1-1", ":1", "a:1", "-1:1", "2147483647:1", "2147483648:1", "1:", "1-", "-1", "1 2", "1_2", "1-1_1", "1~", "1+", "1:-1",
		"a", "1:a", "99999999999999999999:1", "1-1:1",
	} {
		want := exec.Command("dpkg", "--validate-version", v).Run() == nil
		if got := version.Check(v) == nil; got != want {
			t.Errorf("Check(%q) = %v, dpkg says %v", v, version.Check(v), want)
		}
	}
}

// FuzzCompare checks that the order is one: turned around, transitive, and the
// same for equal texts.
func FuzzCompare(f *testing.F) {
	for i := range len(sorted) - 2 {
		f.Add(sorted[i], sorted[i+1], sorted[i+2])
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		ab, bc, ac := version.Compare(a, b), version.Compare(b, c), version.Compare(a, c)
		if version.Compare(b, a) != -ab {
			t.Errorf("Compare(%q, %q) = %d, but turned around %d", a, b, ab, version.Compare(b, a))
		}
		if ab <= 0 && bc <= 0 && ac > 0 || ab >= 0 && bc >= 0 && ac < 0 {
			t.Errorf("%q, %q, %q compare as %d, %d, %d: no order", a, b, c, ab, bc, ac)
		}
		_ = version.Check(a)
	})
}
