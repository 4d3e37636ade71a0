// SPDX-License-Identifier: Apache-2.0

// Package archivetest makes small signed Debian archives, for tests.
package archivetest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// A Key signs archives.
type Key struct {
	entity *openpgp.Entity
	config *packet.Config
}

// NewKey makes a key at the time of at, which is also the time of its
// signatures. It is good for a year.
func NewKey(at time.Time) (*Key, error) {
	config := &packet.Config{
		Time:            func() time.Time { return at },
		Algorithm:       packet.PubKeyAlgoEdDSA,
		KeyLifetimeSecs: uint32((365 * 24 * time.Hour).Seconds()),
	}
	entity, err := openpgp.NewEntity("Archive of a test", "", "", config)
	return &Key{entity, config}, err
}

// Fingerprint returns the key's fingerprint, in capitals.
func (k *Key) Fingerprint() string { return fmt.Sprintf("%X", k.entity.PrimaryKey.Fingerprint) }

// Keyring returns a keyring with the public key.
func (k *Key) Keyring() ([]byte, error) {
	var b bytes.Buffer
	err := k.entity.Serialize(&b)
	return b.Bytes(), err
}

// Armoured returns the keyring in ASCII armour.
func (k *Key) Armoured() (string, error) {
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		return "", err
	}
	if err := k.entity.Serialize(w); err != nil {
		return "", err
	}
	err = w.Close()
	return b.String() + "\n", err
}

// Sign returns text with its signature around it.
func (k *Key) Sign(text string) ([]byte, error) {
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, k.entity.PrivateKey, k.config)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write([]byte(text)); err != nil {
		return nil, err
	}
	err = w.Close()
	b.WriteByte('\n')
	return b.Bytes(), err
}

// Detached returns the signature of text.
func (k *Key) Detached(text string) ([]byte, error) {
	var b bytes.Buffer
	err := openpgp.ArmoredDetachSign(&b, k.entity, strings.NewReader(text), k.config)
	b.WriteByte('\n')
	return b.Bytes(), err
}

// A Suite is what an archive is made of.
type Suite struct {
	Name     string            // "stable"
	Codename string            // "trixie"
	Head     string            // lines of the release file before the digests; Suite, Codename and Date are there anyway
	Date     time.Time         // of the release file
	Indexes  map[string]string // by "main/binary-amd64", or "." for an archive without components
}

// Release returns the text of the release file.
func (s Suite) Release() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Origin: Test\nLabel: Test\nSuite: %s\nCodename: %s\nDate: %s\n%sSHA256:\n",
		s.Name, s.Codename, s.Date.UTC().Format("Mon, 02 Jan 2006 15:04:05 UTC"), s.Head)
	files := s.files()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, " %x %d %s\n", sha256.Sum256(files[name]), len(files[name]), name)
	}
	return b.String()
}

// files returns the index files, plain and compressed.
func (s Suite) files() map[string][]byte {
	files := map[string][]byte{}
	for dir, text := range s.Indexes {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(text)) // a buffer takes everything
		_ = w.Close()
		name := filepath.Join(dir, "Packages")
		files[name], files[name+".gz"] = []byte(text), b.Bytes()
	}
	return files
}

// Write writes the files of the suite into dir, the directory of its release
// file. The indexes are there by their names and by their digests, but only
// compressed.
func (s Suite) Write(dir string, k *Key) error {
	for name, b := range s.files() {
		if !strings.HasSuffix(name, ".gz") {
			continue
		}
		byHash := filepath.Join(filepath.Dir(name), "by-hash/SHA256", fmt.Sprintf("%x", sha256.Sum256(b)))
		for _, name := range []string{name, byHash} {
			if err := write(filepath.Join(dir, name), b); err != nil {
				return err
			}
		}
	}
	signed, err := k.Sign(s.Release())
	if err != nil {
		return err
	}
	return write(filepath.Join(dir, "InRelease"), signed)
}

func write(name string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o644) //nolint:forbidigo // of a test's archive, which nobody else reads
}
