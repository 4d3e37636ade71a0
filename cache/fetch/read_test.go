// SPDX-License-Identifier: Apache-2.0

package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"inlay/cache/fetch"
)

// answered gives one answer after the other, without a network.
type answered struct {
	codes []int
	asked int
}

func (a *answered) RoundTrip(r *http.Request) (*http.Response, error) {
	code := a.codes[min(a.asked, len(a.codes)-1)]
	a.asked++
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

func TestRead(t *testing.T) {
	t.Parallel()
	_, url := serve(t, ok(content, ""))
	local := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(local, content, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{url, local, "file:" + local} {
		s := &fetch.Store{Dir: t.TempDir()}
		b, err := s.Read(t.Context(), fetch.File{Name: "list", URL: url}, int64(len(content)))
		if err != nil || !bytes.Equal(b, content) {
			t.Errorf("Read of %s: %d bytes, %v; want %d", url, len(b), err, len(content))
		}
		var large *fetch.MismatchError
		if _, err := s.Read(t.Context(), fetch.File{Name: "list", URL: url}, int64(len(content))-1); !errors.As(err, &large) {
			t.Errorf("Read of %s with a lower limit: %v, want a *MismatchError", url, err)
		}
		wantFiles(t, s.Dir)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	_, url := serve(t, status(404))
	var missing *fetch.StatusError
	s := &fetch.Store{Dir: t.TempDir()}
	if _, err := s.Read(t.Context(), fetch.File{Name: "list", URL: withUser(url)}, 10); !errors.As(err, &missing) || missing.Code != 404 || strings.Contains(err.Error(), "s3cr") {
		t.Errorf("Read of what isn't there: %v, want a *StatusError without the password", err)
	}
	if _, err := s.Read(t.Context(), fetch.File{Name: "list", URL: "file:/no/such/file"}, 10); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Read of a file that isn't there: %v, want one that says so", err)
	}
	s.Offline = true
	var offline *fetch.OfflineError
	if _, err := s.Read(t.Context(), fetch.File{Name: "list", URL: url}, 10); !errors.As(err, &offline) {
		t.Errorf("Read while offline: %v, want an *OfflineError", err)
	}
}

func TestReadTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &answered{codes: []int{503, 429, 200}}
		s := &fetch.Store{Transport: server}
		if _, err := s.Read(t.Context(), fetch.File{Name: "list", URL: "http://example.com/list"}, 10); err != nil || server.asked != 3 {
			t.Errorf("Read: %v after %d requests, want none after 3", err, server.asked)
		}
		server = &answered{codes: []int{503}}
		s.Transport = server
		var down *fetch.StatusError
		if _, err := s.Read(t.Context(), fetch.File{Name: "list", URL: "http://example.com/list"}, 10); !errors.As(err, &down) || server.asked != 5 {
			t.Errorf("Read: %v after %d requests, want a *StatusError after 5", err, server.asked)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Read(ctx, fetch.File{Name: "list", URL: "http://example.com/list"}, 10); !errors.Is(err, context.Canceled) {
			t.Errorf("Read when cancelled: %v, want %v", err, context.Canceled)
		}
	})
}
