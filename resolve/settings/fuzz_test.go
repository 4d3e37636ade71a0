// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"errors"
	"path"
	"strings"
	"testing"

	"inlay/resolve/settings"
)

// FuzzLoad holds that any bytes give settings within their promises, or a
// *FieldError with a reason on a line that the file has.
func FuzzLoad(f *testing.F) {
	seeds := []string{"", every, "a: &a [*a]\n", "<<: {settings: {docker: {<<: [{user: a}]}}}", "settings:\n\tx: 1", "---\n...\n# c\n", "? ? a\n", "steps: {a: {settings: {docker: }}}", docker("cmd: |\n  a\n  b\n# c")}
	for _, s := range seeds {
		f.Add([]byte(s), "user=[a]")
	}
	f.Add([]byte(every), "environment.A.B={x: *y}")
	f.Fuzz(func(t *testing.T, file []byte, set string) {
		d, _, err := settings.Load("f", strings.NewReader(string(file)), settings.Options{
			Lookup:    lookup,
			Overrides: []settings.Override{{Flag: "--set", Values: []string{set}}},
		})
		if err != nil {
			var e *settings.FieldError
			if !errors.As(err, &e) {
				t.Fatalf("Load gave %T: %v", err, err)
			}
			lines := 1
			for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} { // YAML's line ends
				lines += strings.Count(string(file), end)
			}
			if e.Problem == "" || e.Fix == "" || e.Line < 0 || e.Line > lines {
				t.Fatalf("Load gave %#v for %d lines", e, lines)
			}
			return
		}
		for _, v := range append(d.Environment, d.RuntimeEnvironment...) {
			if i := strings.IndexByte(v, '='); i < 1 || strings.ContainsRune(v, 0) {
				t.Errorf("variable %q", v)
			}
		}
		if d.WorkDir != "" && (!path.IsAbs(d.WorkDir) || path.Clean(d.WorkDir) != d.WorkDir) {
			t.Errorf("workdir %q", d.WorkDir)
		}
		if d.Target != (settings.Target{}) && d.Target.Repository == "" {
			t.Errorf("target %+v", d.Target)
		}
		if len(d.Requirements) > 0 && d.RequirementsFile != "" {
			t.Errorf("requirements twice: %q and %q", d.Requirements, d.RequirementsFile)
		}
	})
}
