// SPDX-License-Identifier: Apache-2.0

// Package egresstest has this process trust servers on loopback, for tests.
package egresstest

import (
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// Run runs the tests of a package with this process, and what it starts, trusting
// the servers of net/http/httptest. It returns the status to exit with.
func Run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "egress-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s := httptest.NewTLSServer(nil)
	s.Close()
	file := filepath.Join(dir, "ca.pem")
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := errors.Join(os.WriteFile(file, authority, 0o600), //nolint:forbidigo // of a test
		os.Setenv("SSL_CERT_FILE", file), os.Setenv("SSL_CERT_DIR", dir)); err != nil {
		panic(err)
	}
	return m.Run()
}
