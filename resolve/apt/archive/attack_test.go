// SPDX-License-Identifier: Apache-2.0

package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"inlay/cache/fetch"
	"inlay/resolve/apt/archive"
	"inlay/resolve/apt/archive/archivetest"
)

// TestAttacks shows what happens when an archive, or somebody between it and
// us, lies.
func TestAttacks(t *testing.T) {
	tests := []struct {
		name   string
		attack func(s *site)
		at     time.Time
		want   any // pointer to an error of the type
		text   string
	}{
		{"a changed word in the signed text", func(s *site) {
			s.edit("InRelease", func(b []byte) []byte { return bytes.Replace(b, []byte("Label: Test"), []byte("Label: Tesu"), 1) })
		}, now, new(*archive.SignatureError), "isn't good"},
		{"another file in the signed text", func(s *site) {
			s.edit("InRelease", func(b []byte) []byte {
				return bytes.ReplaceAll(b, []byte("main/binary-amd64/Packages.gz"), []byte("main/binary-amd64/Packages.xz"))
			})
		}, now, new(*archive.SignatureError), "isn't good"},
		{"text before the signed one", func(s *site) {
			s.edit("InRelease", func(b []byte) []byte { return append([]byte("Suite: stable\n\n"), b...) })
		}, now, new(*archive.SignatureError), "doesn't begin with signed text"},
		{"text behind the signed one", func(s *site) {
			s.edit("InRelease", func(b []byte) []byte { return append(b, "SHA256:\n"...) })
		}, now, new(*archive.SignatureError), "text behind its signature"},
		{"no signature", func(s *site) {
			must(s.t, os.WriteFile(filepath.Join(s.dir, "InRelease"), []byte(s.suite.Release()), 0o644))
		}, now, new(*archive.SignatureError), "doesn't begin with signed text"},
		{"the signature taken away", func(s *site) {
			s.edit("InRelease", func(b []byte) []byte { return b[:bytes.Index(b, []byte("-----BEGIN PGP SIGNATURE"))] })
		}, now, new(*archive.SignatureError), "signature can't be read"},
		{"another key", func(s *site) {
			other, err := archivetest.NewKey(released.Add(-time.Hour))
			must(s.t, err)
			must(s.t, s.suite.Write(s.dir, other))
		}, now, new(*archive.SignatureError), "isn't good"},
		{"a key that has expired", func(*site) {}, now.AddDate(2, 0, 0), new(*archive.SignatureError), "expired"},
		{"a source that wants no signatures", func(s *site) { s.source.Trusted = true }, now, new(*archive.SignatureError), "here they do"},
		{"a source without keys", func(s *site) { s.source.SignedBy = nil }, now, new(*archive.SignatureError), "no key"},
		{"a keyring that isn't there", func(s *site) { s.source.SignedBy = []string{"/no.gpg"} }, now, new(*archive.SignatureError), "no keyring /no.gpg"},
		{"a release past its time", func(s *site) {
			s.suite.Head += "Valid-Until: Fri, 02 Jan 2026 03:30:00 UTC\n"
			s.write()
		}, now, new(*archive.StaleError), "was valid until Fri, 02 Jan 2026 03:30:00 UTC"},
		{"a release older than the source allows", func(s *site) { s.source.MaxAge = time.Minute }, now, new(*archive.StaleError), "was valid until"},
		{"a release from the future", func(*site) {}, released.Add(-11 * time.Second), new(*archive.StaleError), "in the future"},
		{"another suite", func(s *site) {
			s.suite.Name, s.suite.Codename = "oldstable", "bookworm"
			s.write()
		}, now, new(*archive.ReleaseError), `holds the suite "oldstable"`},
		{"a release older than one seen before", func(s *site) {
			_, err := s.load(now)
			must(s.t, err)
			s.suite.Date = released.Add(-time.Second)
			s.write()
		}, now, new(*archive.RollbackError), "but one of Fri, 02 Jan 2026 03:04:05 UTC was seen before"},
		{"a changed index", func(s *site) {
			s.edit("main/binary-amd64/Packages.gz", func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		}, now, new(*fetch.MismatchError), "has sha256"},
		{"a longer index", func(s *site) {
			s.edit("main/binary-amd64/Packages.gz", func(b []byte) []byte { return append(b, 0) })
		}, now, new(*fetch.MismatchError), "bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			tt.attack(s)
			got, err := s.load(tt.at)
			if got != nil || !errors.As(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("Load = %v, %v, want a %T with %q", got, err, tt.want, tt.text)
			}
			var hint interface{ Hint() string }
			if !errors.As(err, &hint) || hint.Hint() == "" {
				t.Errorf("there is no hint to %v", err)
			}
		})
	}
}

// TestIndexBomb checks that an index that unpacks to more than the release says
// isn't read to its end.
func TestIndexBomb(t *testing.T) {
	s := newSite(t)
	signed, err := s.key.Sign(strings.Replace(s.suite.Release(), fmt.Sprintf(" %d main", len(git)), " 10 main", 1))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(s.dir, "InRelease"), signed, 0o644))
	if _, err := s.load(now); err == nil || !strings.Contains(err.Error(), "larger than it may be") {
		t.Errorf("Load: %v, want one about the size", err)
	}
}
