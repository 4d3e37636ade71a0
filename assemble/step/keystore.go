// SPDX-License-Identifier: Apache-2.0

package step

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"io"
	"unicode/utf16"

	"inlay/layers"
)

// javaStore is where Java keeps the certificates that it trusts.
const javaStore = "etc/ssl/certs/java/cacerts"

// What a JKS store of certificates is made of, as Java reads and writes it.
const (
	storeMagic   = 0xfeedfeed
	storeVersion = 2
	storedCert   = 2 // the kind of an entry
	storeSalt    = "Mighty Aphrodite"
	storeWord    = "changeit" // the password that everybody has for it
	maxStore     = 16 << 20   // bytes
)

// untimed returns a store of certificates as if each had been added at a time in
// seconds since 1970. What isn't of that form stays as it is.
func untimed(store []byte, epoch int64) []byte {
	body := store[:max(0, len(store)-sha1.Size)]
	if !bytes.Equal(storeSum(body), store[len(body):]) {
		return store
	}
	out := bytes.Clone(body)
	p := pieces{b: out}
	if p.number(4) != storeMagic || p.number(4) != storeVersion {
		return store
	}
	for n := p.number(4); n > 0 && !p.bad; n-- {
		if p.number(4) != storedCert {
			return store
		}
		p.take(p.number(2)) // its name
		if when := p.take(8); when != nil {
			binary.BigEndian.PutUint64(when, uint64(epoch)*1000)
		}
		p.take(p.number(2)) // its kind
		p.take(p.number(4)) // the certificate
	}
	if p.bad {
		return store
	}
	return append(out, storeSum(out)...)
}

// pieces takes a text apart from its beginning on.
type pieces struct {
	b   []byte
	bad bool // it was shorter than it said
}

// take returns the next n bytes, nil if there aren't as many.
func (p *pieces) take(n uint64) []byte {
	if n > uint64(len(p.b)) {
		p.b, p.bad = nil, true
		return nil
	}
	t := p.b[:n]
	p.b = p.b[n:]
	return t
}

// number returns a number of so many bytes.
func (p *pieces) number(bytes uint64) (n uint64) {
	for _, b := range p.take(bytes) {
		n = n<<8 | uint64(b)
	}
	return n
}

// storeSum is what stands at the end of a store.
func storeSum(body []byte) []byte {
	h := sha1.New() //nolint:gosec // the format's own
	for _, c := range utf16.Encode([]rune(storeWord)) {
		h.Write([]byte{byte(c >> 8), byte(c)})
	}
	h.Write([]byte(storeSalt))
	h.Write(body)
	return h.Sum(nil)
}

// untimedBody returns the body of e as it is kept.
func untimedBody(e layers.Entry, body io.Reader, epoch int64) (io.Reader, error) {
	if e.Path != javaStore || !e.Mode.IsRegular() || e.Size > maxStore {
		return body, nil
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	return bytes.NewReader(untimed(b, epoch)), nil
}
