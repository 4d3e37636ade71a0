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
	be, at := binary.BigEndian, 12
	if len(out) < at || be.Uint32(out) != storeMagic || be.Uint32(out[4:]) != storeVersion {
		return store
	}
	skip := func(width int) bool { // a length of so many bytes, and what is of it
		if at+width > len(out) {
			return false
		}
		n := int64(be.Uint16(out[at:]))
		if width == 4 {
			n = int64(be.Uint32(out[at:]))
		}
		if n > int64(len(out)-at-width) {
			return false
		}
		at += width + int(n)
		return true
	}
	for range be.Uint32(out[8:]) {
		if at+4 > len(out) || be.Uint32(out[at:]) != storedCert {
			return store
		}
		at += 4
		if !skip(2) || at+8 > len(out) { // its name
			return store
		}
		be.PutUint64(out[at:], uint64(epoch)*1000)
		at += 8
		if !skip(2) || !skip(4) { // its kind, and the certificate
			return store
		}
	}
	return append(out, storeSum(out)...)
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
