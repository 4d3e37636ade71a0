// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"crypto/tls"
	"errors"
	"net/http"
	"strconv"
	"time"
)

const (
	maxFailures    = 5                      // in a row
	enoughProgress = 1 << 20                // new bytes after which counting failures begins anew
	firstPause     = 500 * time.Millisecond // doubled with each failure in a row
	maxPause       = 2 * time.Minute        // that a server may ask for
)

// pause returns how long to wait after err, the failure of that number in a
// row, and whether there is any point in trying again.
func pause(err error, failures int) (wait time.Duration, again bool) {
	if failures >= maxFailures {
		return 0, false
	}
	wait = firstPause << (failures - 1)
	var (
		status   *StatusError
		mismatch *MismatchError
		cut      *cutError
		final    *finalError
		cert     *tls.CertificateVerificationError
		notTLS   tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &final):
		return 0, false
	case errors.As(err, &cut):
		return wait, true
	case errors.As(err, &status):
		wait = max(wait, status.RetryAfter)
		return wait, status.Temporary() && wait <= maxPause
	case errors.As(err, &mismatch), errors.As(err, &cert), errors.As(err, &notTLS):
		return 0, false
	default: // the connection
		return wait, true
	}
}

// retryAfter reads the Retry-After field (RFC 9110, 10.2.3). A date in it is
// taken relative to the server's own clock. What can't be read is no wish.
func retryAfter(h http.Header) time.Duration {
	field := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(field, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(field)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0)
}
