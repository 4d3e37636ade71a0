// SPDX-License-Identifier: Apache-2.0

package leak_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/layers/leak"
)

const password = `s3cr3t/p@ss "wörd"`

var secrets = []leak.Secret{
	{User: "ann", Value: password, Of: "corp"},
	{User: "t0ken-t0ken-t0ken", Value: "t0ken-t0ken-t0ken", Of: "hub"},
	{User: "bob", Value: "short", Of: "weak"},
}

// found returns whose secret a stream of text holds, written in pieces of n
// bytes.
func found(t *testing.T, s *leak.Scanner, text string, n int) string {
	t.Helper()
	w := s.Watch()
	for b := []byte(text); len(b) > 0; {
		piece := b[:min(n, len(b))]
		b = b[len(piece):]
		m, err := w.Write(piece)
		var e *leak.Error
		if errors.As(err, &e) {
			return e.Of
		}
		if err != nil || m != len(piece) {
			t.Fatalf("Write = %d, %v", m, err)
		}
	}
	return ""
}

func TestForms(t *testing.T) {
	t.Parallel()
	s := leak.New(secrets)
	tests := []struct{ name, text, of string }{
		{"as it is", password, "corp"},
		{"of a query", "s3cr3t%2Fp%40ss+%22w%C3%B6rd%22", "corp"},
		{"of a path", "s3cr3t%2Fp@ss%20%22w%C3%B6rd%22", "corp"},
		{"before a host", "s3cr3t%2Fp%40ss%20%22w%C3%B6rd%22", "corp"},
		{"in small letters", "s3cr3t%2fp%40ss%20%22w%c3%b6rd%22", "corp"},
		{"in JSON", `s3cr3t/p@ss \"wörd\"`, "corp"},
		{"in base64", base64.StdEncoding.EncodeToString([]byte(password)), "corp"},
		{"of a request", "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:"+password)), "corp"},
		{"of a token's request", "Basic " + base64.StdEncoding.EncodeToString([]byte("t0ken-t0ken-t0ken:")), "hub"},
		{"for URLs", base64.URLEncoding.EncodeToString([]byte("ann:" + password)), "corp"},
		{"a short one, of a request", base64.StdEncoding.EncodeToString([]byte("bob:short")), "weak"},
		{"a short one", "in short: short", ""},
		{"a part of it", password[:len(password)-1], ""},
		{"the user", "ann", ""},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		for _, around := range []string{"", "x", strings.Repeat("s3cr3t/p@ss ", 50)} {
			for _, n := range []int{1, 2, 7, 40, 1 << 10} {
				if got := found(t, s, around+tt.text+around, n); got != tt.of {
					t.Errorf("%s, between %q and in pieces of %d: it is found to be of %q, want %q", tt.name, around, n, got, tt.of)
				}
			}
		}
	}
	if diff := cmp.Diff([]string{"weak"}, s.Weak()); diff != "" {
		t.Errorf("Weak (-want +got):\n%s", diff)
	}
}

// Which passwords are searched for as they are.
func TestWeak(t *testing.T) {
	t.Parallel()
	tests := []struct {
		secret leak.Secret
		strong bool
	}{
		{leak.Secret{User: "u", Value: "password"}, false},
		{leak.Secret{User: "u", Value: "12345678"}, false},
		{leak.Secret{User: "u", Value: "passw0r"}, false},
		{leak.Secret{User: "u", Value: "passw0rd"}, true},
		{leak.Secret{User: "u", Value: "correcthorse"}, true},
		{leak.Secret{User: "build-robot-12", Value: "build-robot-12"}, false},
		{leak.Secret{User: "pypi-0123456789a", Value: "pypi-0123456789a"}, true},
	}
	for _, tt := range tests {
		s := leak.New([]leak.Secret{tt.secret})
		if got := len(s.Weak()) == 0; got != tt.strong {
			t.Errorf("%q is strong: %v, want %v", tt.secret.Value, got, tt.strong)
		}
		if got := found(t, s, "a "+tt.secret.Value+" b", 100) == "" && s.Hide(tt.secret.Value) == tt.secret.Value; got == tt.strong {
			t.Errorf("%q is not found: %v", tt.secret.Value, got)
		}
	}
}

func TestNothingToSearchFor(t *testing.T) {
	t.Parallel()
	for _, s := range []*leak.Scanner{nil, leak.New(nil), leak.New([]leak.Secret{{Of: "corp"}}), leak.New([]leak.Secret{{Value: "x", Of: "corp"}})} {
		if w := s.Watch(); w != nil {
			t.Errorf("Watch of %+v = %v, want nil", s, w)
		}
		if err := s.Document("plan", []byte("not looked at")); err != nil {
			t.Errorf("Document of %+v: %v", s, err)
		}
		if got := s.Hide("x"); got != "x" {
			t.Errorf("Hide = %q", got)
		}
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	const kept = "PIP_INDEX_URL=https://ann:s3cr3t%2Fp%40ss%20%22w%C3%B6rd%22@corp.example/simple"
	s := leak.New(secrets, kept)
	tests := []struct{ json, want string }{
		{`{"a": [1, {"b": "x"}], "s3cr3t": null}`, ""},
		{`{"config": {"Env": ["A=1", "B=s3cr3t/p@ss \"w\u00f6rd\""]}}`, "the password or token of corp is in it.config.Env[1]"},
		{`{"labels": {"x t0ken-t0ken-t0ken": "y"}}`, "the password or token of hub is in it.labels.x ****"},
		{`{"Env": ["` + kept + `"]}`, ""},
		{`{"Labels": {"x": "` + kept + ` "}}`, "the password or token of corp is in it.Labels.x"},
	}
	for _, tt := range tests {
		err := s.Document("it", []byte(tt.json))
		got := ""
		var e *leak.Error
		if errors.As(err, &e) && e.Hint() != "" {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("Document(%s) = %v, want %q", tt.json, err, tt.want)
		}
	}
	if err := s.Document("it", []byte("{")); err == nil {
		t.Error("Document takes what is no JSON")
	}
}

// The tables of the search find what a plain one finds.
func TestSearch(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same every time
	letters := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "aA0"[r.IntN(3)]
		}
		return string(b)
	}
	hits := 0
	for range 3000 {
		value := "aA" + letters(6+r.IntN(4))
		text := letters(r.IntN(20)) + value[:r.IntN(len(value)+1)] + letters(r.IntN(200))
		want := strings.Contains(text, value)
		got := found(t, leak.New([]leak.Secret{{Value: value, Of: "it"}, {Value: "A0" + letters(300), Of: "long"}}), text, 1+r.IntN(60)) == "it"
		if got != want {
			t.Fatalf("%q in %q: %v, want %v", value, text, got, want)
		}
		if want {
			hits++
		}
	}
	if hits < 100 {
		t.Errorf("only %d texts hold what is searched for", hits)
	}
}

// BenchmarkWrite compares the search with the hash beside which it runs.
func BenchmarkWrite(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same every time
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	var source bytes.Buffer
	for i := 0; source.Len() < 1<<20; i++ {
		fmt.Fprintf(&source, "def function_%d(self, value: int) -> str:\n    return str(value + %d)  # the password of nobody\n", i, i)
	}
	for name, text := range map[string][]byte{"binary": noise, "source": source.Bytes()} {
		for writer, w := range map[string]io.Writer{"leak": leak.New(secrets).Watch(), "sha256": sha256.New()} {
			b.Run(name+"/"+writer, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					for at := 0; at < len(text); at += 32 << 10 {
						if _, err := w.Write(text[at : at+32<<10]); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}
