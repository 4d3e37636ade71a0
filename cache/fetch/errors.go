// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// A StatusError reports a server that answers with something else than the
// file.
type StatusError struct {
	Name       string        // of the file
	URL        string        // without user, password and query
	Code       int           // HTTP status
	RetryAfter time.Duration // how long the server asks to wait, 0 if it doesn't say
}

func (t *transfer) statusError(resp *http.Response) error {
	return &StatusError{Name: t.file.Name, URL: t.src.shown, Code: resp.StatusCode, RetryAfter: retryAfter(resp.Header)}
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("fetching %s from %s: the server says %d %s", e.Name, e.URL, e.Code, http.StatusText(e.Code))
}

// Hint says what to do about the status.
func (e *StatusError) Hint() string {
	switch {
	case e.Code == http.StatusUnauthorized, e.Code == http.StatusForbidden:
		return "check user and password of the index, and that they may read this file, then resolve again with --refresh"
	case e.Temporary() && e.RetryAfter > 0:
		return fmt.Sprintf("the server asks to wait: run the same command again after %v", e.RetryAfter)
	case e.Temporary():
		return "the server is in trouble: run the same command again later, what was downloaded is kept"
	default:
		return "the file may have been withdrawn: resolve again with --refresh"
	}
}

// Temporary reports whether the same request may get another answer later.
func (e *StatusError) Temporary() bool {
	return e.Code == http.StatusRequestTimeout || e.Code == http.StatusTooManyRequests || e.Code >= 500
}

// A MismatchError reports a file that isn't the one that was asked for.
type MismatchError struct {
	Name    string // of the file
	URL     string // without user, password and query
	Problem string // "has sha256 …, not …", or the same of its size
}

func (t *transfer) problem(format string, args ...any) error {
	return &MismatchError{Name: t.file.Name, URL: t.src.shown, Problem: fmt.Sprintf(format, args...)}
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s from %s %s", e.Name, e.URL, e.Problem)
}

// Hint says how to get a digest that fits.
func (e *MismatchError) Hint() string {
	return "the file was changed since it was resolved, or on its way here: if you trust the server, resolve again with --refresh"
}

// A ConnectionError reports a server that can't be reached, or a connection
// that breaks each time.
type ConnectionError struct {
	Name string // of the file
	URL  string // without user, password and query
	Err  error
}

func (e *ConnectionError) Error() string {
	return fmt.Sprintf("fetching %s from %s: %v", e.Name, e.URL, e.Err)
}

// Unwrap returns what the connection said.
func (e *ConnectionError) Unwrap() error { return e.Err }

// Temporary reports that the same request may succeed later.
func (e *ConnectionError) Temporary() bool { return true }

// Hint says what to check.
func (e *ConnectionError) Hint() string {
	return "check the network and the proxy variables, and run the same command again: what was downloaded whole is kept"
}

// An OfflineError reports a file that would have to be downloaded.
type OfflineError struct {
	Name string // of the file
	URL  string // without user, password and query
}

func (e *OfflineError) Error() string {
	return fmt.Sprintf("%s is not in the cache and may not be downloaded from %s while offline", e.Name, e.URL)
}

// Hint says how to get the file into the cache.
func (e *OfflineError) Hint() string {
	return "run the same command once without --offline"
}

// A finalError is one that trying again won't cure.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// A cutError is one that trying again may cure, although its cause looks final.
type cutError struct{ error }

func (e *cutError) Unwrap() error { return e.error }

// explain returns err as Open returns it: naming the file and its source, but
// not what http says about URLs.
func (t *transfer) explain(err error) error {
	var (
		status   *StatusError
		mismatch *MismatchError
		final    *finalError
		web      *url.Error
	)
	switch {
	case errors.As(err, &status):
		return status
	case errors.As(err, &mismatch):
		return mismatch
	case errors.As(err, &web):
		err = web.Err
	case errors.As(err, &final):
		return fmt.Errorf("fetching %s from %s: %w", t.file.Name, t.src.shown, final.error)
	}
	return &ConnectionError{Name: t.file.Name, URL: t.src.shown, Err: err}
}
