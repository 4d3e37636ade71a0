// SPDX-License-Identifier: Apache-2.0

package deb822_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/apt/deb822"
)

// read returns the fields of all stanzas as "name=value".
func read(r io.Reader) (all [][]string, err error) {
	for in := deb822.NewReader(r); ; {
		s, err := in.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		var fields []string
		for name, value := range s.Fields() {
			fields = append(fields, name+"="+value)
		}
		all = append(all, fields)
	}
}

func TestReader(t *testing.T) {
	tests := []struct {
		name, text string
		want       [][]string
	}{
		{"nothing", "", nil},
		{"empty lines alone", "\n\n \n", nil},
		{"a field", "Package: git\n", [][]string{{"Package=git"}}},
		{"no end of the last line", "Package: git", [][]string{{"Package=git"}}},
		{"two stanzas", "A: 1\n\nB: 2\n", [][]string{{"A=1"}, {"B=2"}}},
		{"several empty lines", "\n\nA: 1\n\n \t\n\nB: 2\n\n", [][]string{{"A=1"}, {"B=2"}}},
		{"lines of a value", "A: 1\n 2\n\t3\nB: 4\n", [][]string{{"A=1\n 2\n\t3", "B=4"}}},
		{"comments", "# c\nA: 1\n# c\n 2\n#B: 3\n", [][]string{{"A=1\n 2"}}},
		{"ends of lines as in DOS", "A: 1\r\n\r\nB: 2\r\n", [][]string{{"A=1"}, {"B=2"}}},
		{"an empty value", "A:\nB: 2\n", [][]string{{"A=", "B=2"}}},
		{"colons in a value", "A: b: c\n", [][]string{{"A=b: c"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := read(iotest.OneByteReader(strings.NewReader(tt.text)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("stanzas of %q (-want +got):\n%s", tt.text, diff)
			}
		})
	}
}

func TestReaderRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no colon", "A: 1\nB\n", "line 2 is no field: it has no name before a colon"},
		{"no name", ": 1\n", "line 1 is no field: it has no name before a colon"},
		{"nothing to go on from", " 1\n", "line 1 continues a field, but there is none before it"},
		{"a long line", "A: " + strings.Repeat("x", deb822.MaxField) + "\n", "line 1 is longer than 1048576 bytes"},
		{"a long field", "A: 1\n" + strings.Repeat(" "+strings.Repeat("x", 1023)+"\n", 1025), "line 1025 makes the field longer than 1048576 bytes"},
		{"a long stanza", strings.Repeat("A: "+strings.Repeat("x", 1020)+"\n", 4097), "line 4097 makes the stanza longer than 4194304 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := read(strings.NewReader(tt.text))
			var syntax *deb822.SyntaxError
			if !errors.As(err, &syntax) || err.Error() != tt.want {
				t.Errorf("error %v, want the *SyntaxError %q", err, tt.want)
			}
		})
	}
}

func TestLine(t *testing.T) {
	in := deb822.NewReader(strings.NewReader("\n# c\nA: 1\n 2\n\n\nB: 2\n"))
	for _, want := range []int{3, 7} {
		if _, err := in.Next(); err != nil || in.Line() != want {
			t.Errorf("a stanza of line %d, %v, want %d", in.Line(), err, want)
		}
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	if _, err := read(io.MultiReader(strings.NewReader("A: 1\n"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

func TestGet(t *testing.T) {
	s := deb822.Stanza("Package: git\nVersion: 1\nversion: 2\n")
	for name, want := range map[string]string{"Package": "git", "package": "git", "Version": "1", "Pack": "", "Packages": ""} {
		if got := s.Get(name); got != want {
			t.Errorf("Get(%q) = %q, want %q", name, got, want)
		}
	}
}

// FuzzReader checks that stanzas, written and split, are what they were.
func FuzzReader(f *testing.F) {
	for _, text := range []string{"", "A: 1\n 2\n\nB: 3", "# c\n\n\nA: 1\r\n", ":\n", " x\n", "A\n", "A: \n .\n b\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var stanzas []deb822.Stanza
		for in := deb822.NewReader(strings.NewReader(text)); ; {
			s, err := in.Next()
			if err != nil {
				break
			}
			stanzas = append(stanzas, s)
		}
		var b strings.Builder
		for _, s := range stanzas {
			for name := range s.Fields() {
				if name == "" || strings.ContainsAny(name, ":\n") {
					t.Errorf("%q has a field %q", s, name)
				}
			}
			fmt.Fprintf(&b, "%s\n", s)
		}
		again := slices.Collect(deb822.Split(b.String()))
		for i := range again {
			again[i] += "\n" // that Split took
		}
		if !slices.Equal(again, stanzas) && len(again)+len(stanzas) > 0 {
			t.Errorf("split again: %q, want %q", again, stanzas)
		}
	})
}
