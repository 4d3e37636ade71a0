// SPDX-License-Identifier: Apache-2.0

// Package hint finds what an error says one can do about it.
package hint

import "errors"

// Of returns the hint of the first error in the chain of err that has one, by its
// method Hint.
func Of(err error) (text string, ok bool) {
	var h interface {
		error
		Hint() string
	}
	if !errors.As(err, &h) {
		return "", false
	}
	return h.Hint(), true
}
