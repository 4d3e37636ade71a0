// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// An AccessError reports a registry that refused: it answered 401 or 403.
type AccessError struct {
	Registry string // host and port
	Name     string // of the image or repository that was asked for
	Err      error
}

func (e *AccessError) Error() string {
	return fmt.Sprintf("%s refuses access to %s: %s", e.Registry, e.Name, oneLine(e.Err))
}

// Unwrap returns what the registry said.
func (e *AccessError) Unwrap() error { return e.Err }

// Hint says how to be let in. Registries answer the same to those who may not
// know whether there is such a name.
func (e *AccessError) Hint() string {
	return "check the name, and " + howToLogin(e.Registry)
}

// A NotFoundError reports a name that the registry doesn't know.
type NotFoundError struct {
	Name       string // of the image or repository that was asked for
	Repository bool   // the whole repository is unknown
	Err        error
}

func (e *NotFoundError) Error() string {
	if e.Repository {
		return fmt.Sprintf("no such repository: %s", e.Name)
	}
	return fmt.Sprintf("no such image: %s", e.Name)
}

// Unwrap returns what the registry said.
func (e *NotFoundError) Unwrap() error { return e.Err }

// Hint says what to check.
func (e *NotFoundError) Hint() string {
	ref, err := name.ParseReference(e.Name)
	if err != nil {
		return "check the name"
	}
	if e.Repository {
		return fmt.Sprintf("check the name, or create the repository %s if its registry doesn't do so by itself", ref.Context())
	}
	return fmt.Sprintf("check the tag or digest; the tags there are: crane ls %s", ref.Context())
}

// A NetworkError reports a registry that could not be reached, or whose answer
// is neither a result nor a refusal. Nothing is wrong with what the user asked
// for.
type NetworkError struct {
	Registry string // host and port
	Err      error
}

func (e *NetworkError) Error() string {
	return fmt.Sprintf("talking to %s: %s", e.Registry, oneLine(e.Err))
}

// Unwrap returns what went wrong.
func (e *NetworkError) Unwrap() error { return e.Err }

// Hint says what to check.
func (e *NetworkError) Hint() string {
	var te *transport.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(e.Err, &te) && te.StatusCode == http.StatusTooManyRequests:
		return fmt.Sprintf("it limits how much one may ask: try again later, or log in with docker login %s", e.Registry)
	case errors.As(e.Err, &certificate), strings.Contains(e.Err.Error(), "HTTP request to an HTTPS server"):
		// The second is what is left of the first where plain HTTP was tried as well.
		return "if its certificate is to be trusted, name the authority's file: SSL_CERT_FILE=FILE; to take any, give --insecure-registry " + e.Registry
	case strings.Contains(e.Err.Error(), "server gave HTTP response to HTTPS client"):
		return "if it may be spoken to in the clear, give --insecure-registry " + e.Registry
	case lied(e.Err):
		return "what was sent isn't what was asked for: try again later, or ask those who run the registry or a proxy on the way"
	case errors.As(e.Err, &te):
		return "the registry did not do its part: try again later, or ask those who run it"
	default:
		return fmt.Sprintf("check the name %s, the network, and the proxy variables", e.Registry)
	}
}

// lied reports whether err tells of bytes that don't have the digest or the size
// that was asked for. ggcr has no types for these.
func lied(err error) bool {
	for _, words := range []string{"error verifying ", "does not match requested digest", "does not match expected size"} {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}

// A CredentialsError reports a login that can't be read: a broken
// configuration file, or a credential helper that is missing or fails.
type CredentialsError struct {
	Registry string // host and port
	Err      error
}

func (e *CredentialsError) Error() string {
	return fmt.Sprintf("reading the login for %s: %s", e.Registry, oneLine(e.Err))
}

// Unwrap returns what went wrong.
func (e *CredentialsError) Unwrap() error { return e.Err }

// Hint says where logins come from.
func (e *CredentialsError) Hint() string {
	if CloudOf(e.Registry) != "" {
		return howToLogin(e.Registry)
	}
	return fmt.Sprintf("check credHelpers and credsStore in Docker's config.json, or log in anew with docker login %s", e.Registry)
}

// keychain tells its errors from those of the network.
type keychain struct{ authn.Keychain }

// Resolve returns the credentials for target.
func (k keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	a, err := k.Keychain.Resolve(target)
	return a, credentials(target, err)
}

// ResolveContext returns the credentials for target.
func (k keychain) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	a, err := authn.Resolve(ctx, k.Keychain, target)
	return a, credentials(target, err)
}

func credentials(target authn.Resource, err error) error {
	if err == nil {
		return nil
	}
	return &CredentialsError{Registry: target.RegistryStr(), Err: err}
}

// Explain turns what ggcr's packages return for a request to a repository into
// an *AccessError, *NotFoundError or *NetworkError. What was asked for goes by
// the full name of an image or repository. An error that has been explained,
// and the context's, are returned as they are.
func Explain(err error, repo name.Repository, asked string) error {
	if err == nil || explained(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	host := repo.RegistryStr()
	var te *transport.Error
	if !errors.As(err, &te) {
		return &NetworkError{Registry: host, Err: err}
	}
	switch te.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return &AccessError{Registry: host, Name: asked, Err: te}
	case http.StatusNotFound:
		unknown := says(te, transport.NameUnknownErrorCode) || asked == repo.Name()
		return &NotFoundError{Name: asked, Repository: unknown, Err: te}
	default:
		return &NetworkError{Registry: host, Err: te}
	}
}

// ExplainBlob is Explain for a blob that the manifest of what was asked for
// names: that it is missing is the registry's fault.
func ExplainBlob(err error, repo name.Repository, asked string) error {
	var te *transport.Error
	if errors.As(err, &te) && te.StatusCode == http.StatusNotFound && !explained(err) {
		return &NetworkError{Registry: repo.RegistryStr(), Err: te}
	}
	return Explain(err, repo, asked)
}

func explained(err error) bool {
	var access *AccessError
	var notFound *NotFoundError
	var network *NetworkError
	var credentials *CredentialsError
	return errors.As(err, &access) || errors.As(err, &notFound) || errors.As(err, &network) || errors.As(err, &credentials)
}

func says(te *transport.Error, code transport.ErrorCode) bool {
	for _, d := range te.Errors {
		if d.Code == code {
			return true
		}
	}
	return false
}

// oneLine returns the text of err without the line ends of a registry's answer.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
