// SPDX-License-Identifier: Apache-2.0

// Package sleep waits, and no longer than somebody wants the result.
package sleep

import (
	"context"
	"time"
)

// For returns nil after d, or at once what ended ctx.
func For(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
