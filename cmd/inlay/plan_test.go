// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"inlay/assemble"
	"inlay/resolve/plan"
)

// An index need not tell how large a wheel is: then nobody knows, and a number
// would be a lie.
func TestPlanSize(t *testing.T) {
	tests := []struct {
		name string
		step plan.Step
		want string
	}{
		{"wheels", plan.Step{Python: &plan.Python{Wheels: []plan.Wheel{{Size: 1000}, {Size: 500}}}}, "about 1.5 kB"},
		{"a wheel of unknown size", plan.Step{Python: &plan.Python{Wheels: []plan.Wheel{{Size: 1000}, {}}}}, "size unknown"},
		{"files", plan.Step{Files: &plan.Files{Files: []plan.File{{Size: 0}, {Size: 20}}}}, "from 20 B"},
		{"a removal", plan.Step{Remove: &plan.Remove{}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := size(assemble.Forecast{Step: tt.step}); got != tt.want {
				t.Errorf("size = %q, want %q", got, tt.want)
			}
		})
	}
}
