// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"inlay/resolve/settings"
)

// TestBounds holds that neither a large file nor aliases of aliases are read
// without end.
func TestBounds(t *testing.T) {
	_, _, err := load("#" + strings.Repeat("x", 1<<20))
	checkError(t, "Load(1 MiB and a byte)", err, "inlay.yaml: larger than 1 MiB", "name the settings file with `--file`")

	bomb := "a0: &a0 [x]\n"
	for i := range 12 {
		bomb += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), i)
	}
	_, _, err = load("x:\n " + strings.ReplaceAll(bomb, "\n", "\n "))
	var e *settings.FieldError
	if !errors.As(err, &e) || e.Problem != "too many or too deeply nested values" {
		t.Errorf("Load(aliases of aliases) = %v, want too many values", err)
	}
}

// TestNoValueOfAVariableIsShown holds that an error does not print what may
// be a secret.
func TestNoValueOfAVariableIsShown(t *testing.T) {
	for _, f := range settings.Fields() {
		if f.Status == settings.LeftAlone || strings.HasPrefix(f.Name, "steps.") {
			continue
		}
		for _, text := range []string{"${PASSWORD}", "[[${PASSWORD}]]", "{'${PASSWORD}': {'${PASSWORD}': []}}"} {
			override := settings.Override{Flag: "--set", Values: []string{f.Name + "=" + text}}
			_, _, err := load("", override)
			var e *settings.FieldError
			if errors.As(err, &e) && strings.Contains(e.Error()+e.Hint(), "hunter2") {
				t.Errorf("Load with --set %s=%s = %v, hint %s", f.Name, text, err, e.Hint())
			}
		}
	}
}
