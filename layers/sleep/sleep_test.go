// SPDX-License-Identifier: Apache-2.0

package sleep_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"inlay/layers/sleep"
)

func TestFor(t *testing.T) {
	if err := sleep.For(t.Context(), 0); err != nil {
		t.Errorf("For(0) = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sleep.For(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("For with a context that has ended = %v, want that it was cancelled", err)
	}
}
