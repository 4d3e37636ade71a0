// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"inlay/cache/registry"
)

// TestPlain holds that TLS is tried once with a host that speaks plain HTTP and
// isn't known to be a registry, and every time with one that speaks TLS, also at
// the same time.
func TestPlain(t *testing.T) {
	var opened atomic.Int32
	plain := listen(t, false, listening{tls: &opened}, http.NotFound)
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

// TestPlainWaits holds that a request waits for the trial of another no longer
// than it may, and that a trial which told nothing is made again.
func TestPlainWaits(t *testing.T) {
	begun, end := make(chan bool, 9), make(chan error)
	base := carrier(func(*http.Request) (*http.Response, error) {
		begun <- true
		return nil, <-end
	})
	client := &http.Client{Transport: registry.Plain(base, []string{"registry.example"})}
	get := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://registry.example/v2/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	first := make(chan error)
	go func() { first <- get(t.Context()) }()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error)
	go func() { waiting <- get(ctx) }()
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("a request that was given up: %v", err)
	}
	end <- io.ErrUnexpectedEOF
	if err := <-first; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the first request: %v", err)
	}
	for range 2 { // the first makes the trial anew, the second knows
		go func() { first <- get(t.Context()) }()
		select {
		case <-begun:
			end <- tls.RecordHeaderError{RecordHeader: [5]byte([]byte("HTTP/"))}
			if err := <-first; err == nil {
				t.Error("a trial over plain HTTP succeeds")
			}
		case err := <-first:
			if !errors.Is(err, http.ErrSchemeMismatch) {
				t.Errorf("over TLS: %v, want %v", err, http.ErrSchemeMismatch)
			}
		}
	}
	if len(begun) > 0 {
		t.Error("TLS was tried with a host that speaks plain HTTP")
	}
}
