// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"errors"
	"testing"

	"inlay/cache/registry"
)

// Registries end their answers with a line feed, which is no part of a message.
func TestErrorsAreOneLine(t *testing.T) {
	answer := errors.New("405: Method\n not allowed\n")
	tests := []struct {
		err  error
		want string
	}{
		{&registry.NetworkError{Registry: "r.example", Err: answer}, "talking to r.example: 405: Method not allowed"},
		{&registry.AccessError{Registry: "r.example", Name: "r.example/x", Err: answer}, "r.example refuses access to r.example/x: 405: Method not allowed"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("Error() = %q, want %q", got, tt.want)
		}
	}
}
