// SPDX-License-Identifier: Apache-2.0

package pattern_test

import (
	"sync"
	"testing"

	"inlay/layers/pattern"
)

func TestNew(t *testing.T) {
	digits := pattern.New(`^\d+$`)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if re := digits(); !re.MatchString("42") || re.MatchString("x") || re != digits() {
				t.Error("it is another expression")
			}
		})
	}
	all.Wait()
	bad := pattern.New(`(`)
	defer func() {
		if recover() == nil {
			t.Error("no panic for a bad expression")
		}
	}()
	bad()
}
