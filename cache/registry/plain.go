// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Plain returns a transport that tries TLS once with a host that answers it in
// plain HTTP, which registries of this machine and the given insecure ones may do.
// For each repository there ggcr tries TLS anew, and HTTP when that fails. A nil base
// means the one that ggcr uses.
func Plain(base http.RoundTripper, insecure []string) http.RoundTripper {
	if base == nil {
		base = remote.DefaultTransport
	}
	return &plain{base: base, insecure: insecure}
}

type plain struct {
	base     http.RoundTripper
	insecure []string
	hosts    sync.Map // the *trial of each
}

// A trial is the first request over TLS. Others wait for it.
type trial struct {
	once  sync.Once
	plain bool
}

// RoundTrip carries one request.
func (p *plain) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	if req.URL.Scheme != "https" || !p.mayBePlain(req.URL.Host) {
		return p.base.RoundTrip(req)
	}
	v, _ := p.hosts.LoadOrStore(req.URL.Host, &trial{})
	t, first := v.(*trial), false //nolint:forcetypeassert // nothing else is stored
	t.once.Do(func() {
		first = true
		resp, err = p.base.RoundTrip(req) //nolint:bodyclose // it is the caller's
		t.plain = answersPlain(err)
	})
	switch {
	case first:
		return resp, err
	case t.plain:
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, http.ErrSchemeMismatch
	}
	return p.base.RoundTrip(req)
}

// mayBePlain reports whether ggcr would try plain HTTP with a host.
func (p *plain) mayBePlain(host string) bool {
	if slices.Contains(p.insecure, host) {
		return true
	}
	r, err := name.NewRegistry(host)
	return err == nil && r.Scheme() == "http"
}

// answersPlain reports whether err says that plain HTTP came in answer to TLS.
func answersPlain(err error) bool {
	var record tls.RecordHeaderError
	return errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/"
}
