// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// A ForeignError reports a layer that may not be distributed, and so isn't with
// its image, and that can't be had from where its manifest says either.
type ForeignError struct {
	Layer v1.Hash
	Hosts []string // that the manifest names
	Err   error
}

func (e *ForeignError) Error() string {
	from := "its manifest names no place that has it"
	if len(e.Hosts) > 0 {
		from = "its manifest sends to " + strings.Join(e.Hosts, ", ")
	}
	return fmt.Sprintf("layer %s is not with its image, as it may not be distributed; %s: %v", e.Layer, from, e.Err)
}

// Unwrap returns what went wrong.
func (e *ForeignError) Unwrap() error { return e.Err }

// Hint says what else can be done.
func (e *ForeignError) Hint() string {
	return "check that these hosts can be reached, or name a parent image without such layers"
}

// foreign explains why a layer can't be opened, if it is one that may not be
// distributed. Of its URLs it tells the hosts alone: some are signed.
func foreign(d v1.Descriptor, err error) error {
	if err == nil || d.MediaType.IsDistributable() {
		return err
	}
	e := &ForeignError{Layer: d.Digest, Err: err}
	for _, text := range d.URLs {
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			e.Hosts = append(e.Hosts, u.Host)
		}
	}
	return e
}

// bare returns the reason of a request's error without the request, whose URL
// may be signed.
func bare(err error) error {
	var status *transport.Error
	var request *url.Error
	switch {
	case errors.As(err, &status):
		return fmt.Errorf("%d %s", status.StatusCode, http.StatusText(status.StatusCode))
	case errors.As(err, &request):
		return request.Err
	}
	return err
}
