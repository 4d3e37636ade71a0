// SPDX-License-Identifier: Apache-2.0

// Package artifact keeps files in artifact stores: directories, S3, Google Cloud
// Storage and Azure Blob Storage. A file appears as a whole or not at all. Logins
// are those that each cloud's own tools use, and go nowhere else.
package artifact

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// A Store keeps files by name.
type Store interface {
	// Has reports whether there is a file of that name.
	Has(ctx context.Context, name string) (bool, error)
	// Put makes one.
	Put(ctx context.Context, name string, b Blob) error
}

// A Blob is what a file is to hold. It may be read several times.
type Blob struct {
	io.ReadSeeker
	Size   int64
	SHA256 []byte
}

// Options say how clouds are reached.
type Options struct {
	// Lookup returns a variable of the environment, where the clouds' tools have
	// their logins.
	Lookup    func(name string) (string, bool)
	Endpoint  string            // URL of another S3 than Amazon's; "" is what the environment says
	Transport http.RoundTripper // nil is net/http's
}

// Open returns the store at a URL: file:///DIR, s3://BUCKET/PREFIX,
// gs://BUCKET/PREFIX or az://CONTAINER/PREFIX. It asks for nothing yet.
func Open(at string, o Options) (Store, error) {
	if o.Lookup == nil {
		o.Lookup = func(string) (string, bool) { return "", false }
	}
	scheme, rest, _ := strings.Cut(at, "://")
	bucket, prefix, _ := strings.Cut(rest, "/")
	in := place{at: at, bucket: bucket, prefix: prefix, o: o}
	switch scheme {
	case "file":
		u, err := url.Parse(at)
		if err != nil {
			return nil, fmt.Errorf("opening the artifact store: %w", err)
		}
		return directory(u.Path), nil
	case "s3":
		return amazon{in}, nil
	case "gs":
		return google{in}, nil
	case "az":
		return microsoft{in}, nil
	}
	return nil, &StoreError{At: at, Err: fmt.Errorf("there are no stores called %s", scheme)}
}

// A place is where in a cloud files go.
type place struct {
	at             string
	bucket, prefix string
	o              Options
}

// key is the name of a file in the bucket.
func (p place) key(name string) string { return path.Join(p.prefix, name) }

// variable returns the first of several variables that is set, "" if none is.
func (p place) variable(names ...string) string {
	for _, n := range names {
		if v, _ := p.o.Lookup(n); v != "" {
			return v
		}
	}
	return ""
}

func (p place) fail(err error) error {
	if err == nil {
		return nil
	}
	return &StoreError{At: p.at, Err: err}
}

// A StoreError reports a store that can't be read or written.
type StoreError struct {
	At  string // its URL
	Err error
}

func (e *StoreError) Error() string { return fmt.Sprintf("artifact store %s: %v", e.At, e.Err) }

// Unwrap returns what went wrong there.
func (e *StoreError) Unwrap() error { return e.Err }

// Hint says where logins are looked for.
func (e *StoreError) Hint() string {
	scheme, _, _ := strings.Cut(e.At, "://")
	where := map[string]string{
		"s3": "check the bucket, the network, and the login (AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_REGION; `aws sts get-caller-identity` shows it)",
		"gs": "check the bucket, the network, and the login (GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth application-default login`)",
		"az": "check the container, the network, and the login (AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with `az login`)",
	}[scheme]
	if where == "" {
		return "check the directory, and who may write there"
	}
	return where
}
