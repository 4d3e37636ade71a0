// SPDX-License-Identifier: Apache-2.0

package hint_test

import (
	"errors"
	"fmt"
	"testing"

	"inlay/layers/hint"
)

type advised string

func (a advised) Error() string { return "it failed" }
func (a advised) Hint() string  { return string(a) }

func TestOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
		ok   bool
	}{
		{nil, "", false},
		{errors.New("x"), "", false},
		{advised("a"), "a", true},
		{advised(""), "", true},
		{fmt.Errorf("doing: %w", advised("a")), "a", true},
		{errors.Join(errors.New("x"), advised("a"), advised("b")), "a", true},
	} {
		if got, ok := hint.Of(tt.err); got != tt.want || ok != tt.ok {
			t.Errorf("Of(%v) = %q, %v, want %q, %v", tt.err, got, ok, tt.want, tt.ok)
		}
	}
}
