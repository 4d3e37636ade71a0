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
// plain HTTP, which registries of this machine and the given insecure ones may do,
// and never with one on loopback that is a registry in plain HTTP. For each
// repository there ggcr tries TLS anew, and HTTP when that fails. A nil base means
// the one that ggcr uses.
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
	pongs    sync.Map // the *pong of each that was pinged in plain HTTP
}

// A trial is the first request over TLS, or the ping in its place. Others wait
// until it is over.
type trial struct {
	over  chan struct{}
	plain bool // written before it is over
}

// RoundTrip carries one request.
func (p *plain) RoundTrip(req *http.Request) (*http.Response, error) {
	if v, ok := p.pongs.Load(req.URL.Host); ok && isPing(req) {
		return v.(*pong).to(req), nil //nolint:forcetypeassert // nothing else is stored
	}
	if req.URL.Scheme != "https" || !p.mayBePlain(req.URL.Host) {
		return p.base.RoundTrip(req)
	}
	mine := &trial{over: make(chan struct{})}
	v, loaded := p.hosts.LoadOrStore(req.URL.Host, mine)
	if !loaded {
		return p.try(req, mine)
	}
	first := v.(*trial) //nolint:forcetypeassert // nothing else is stored
	select {
	case <-first.over:
	case <-req.Context().Done():
		return nil, refused(req, req.Context().Err())
	}
	if first.plain {
		return nil, refused(req, http.ErrSchemeMismatch)
	}
	return p.base.RoundTrip(req)
}

// try carries the first request to a host, unless that is on loopback and answers
// a ping. What tells nothing, such as that it can't be reached, is no trial: the
// next request is the first then.
func (p *plain) try(req *http.Request, t *trial) (*http.Response, error) {
	defer close(t.over)
	if t.plain = pingable(req.URL) && p.ping(req); t.plain {
		return nil, refused(req, http.ErrSchemeMismatch)
	}
	resp, err := p.base.RoundTrip(req)
	if t.plain = answersPlain(err); err != nil && !t.plain {
		p.hosts.CompareAndDelete(req.URL.Host, t)
	}
	return resp, err
}

// refused is what a transport does that doesn't send req.
func refused(req *http.Request, err error) error {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return err
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
