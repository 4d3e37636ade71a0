// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/tls"
	"errors"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Plain returns a transport that makes no second attempt at TLS with a host that
// answered the first in plain HTTP. For each repository on a registry of this
// machine, or an insecure one, ggcr tries TLS anew, and HTTP when that fails. A nil
// base means the one that ggcr uses.
func Plain(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = remote.DefaultTransport
	}
	return &plain{base: base}
}

type plain struct {
	base  http.RoundTripper
	hosts sync.Map // those that speak plain HTTP
}

// RoundTrip carries one request.
func (p *plain) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, known := p.hosts.Load(req.URL.Host); known && req.URL.Scheme == "https" {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, http.ErrSchemeMismatch
	}
	resp, err := p.base.RoundTrip(req)
	var record tls.RecordHeaderError
	if errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/" {
		p.hosts.Store(req.URL.Host, true)
	}
	return resp, err
}
