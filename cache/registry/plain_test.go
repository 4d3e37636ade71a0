// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"inlay/cache/registry"
)

// TestPlain holds that TLS is tried once with a host that speaks plain HTTP, and
// every time with one that speaks TLS, also at the same time.
func TestPlain(t *testing.T) {
	var opened atomic.Int32
	plain := httptest.NewUnstartedServer(http.NotFoundHandler())
	plain.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	plain.Start()
	defer plain.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	client := &http.Client{Transport: registry.Plain(secure.Client().Transport, nil)}
	get := func(url string) error {
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := get(strings.Replace(plain.URL, "http:", "https:", 1)); !errors.Is(err, http.ErrSchemeMismatch) {
				t.Errorf("over TLS: %v, want %v", err, http.ErrSchemeMismatch)
			}
			if err := get(secure.URL); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for TLS, want 1", n)
	}
	if err := get(plain.URL); err != nil {
		t.Error(err)
	}
}
