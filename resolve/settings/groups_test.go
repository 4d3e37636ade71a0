// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/settings"
)

// TestReplicate holds in which ways this machine's Python can be asked, and that
// those that ZenML has deprecated are told.
func TestReplicate(t *testing.T) {
	tests := []struct {
		yaml       string
		want       settings.Local
		deprecated bool
	}{
		{"true", settings.Local{Way: "pip_freeze"}, false},
		{"\"yes\"", settings.Local{Way: "pip_freeze"}, false},
		{"false", settings.Local{}, false},
		{"[]", settings.Local{}, false},
		{"pip_freeze", settings.Local{Way: "pip_freeze"}, true},
		{"uv_freeze", settings.Local{Way: "uv_freeze"}, true},
		{"poetry_export", settings.Local{Way: "poetry_export"}, true},
		{"[conda, list, 7]", settings.Local{Command: []string{"conda", "list", "7"}}, true},
	}
	for _, tt := range tests {
		d, w, err := load(docker("replicate_local_python_environment: " + tt.yaml))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, d.Local); diff != "" {
			t.Errorf("with %s (-want +got):\n%s", tt.yaml, diff)
		}
		if told := len(w) == 1 && strings.Contains(w[0].Text, "deprecated by ZenML"); told != tt.deprecated || len(w) > 1 {
			t.Errorf("with %s the warnings are %v, want one: %v", tt.yaml, w, tt.deprecated)
		}
	}
}
