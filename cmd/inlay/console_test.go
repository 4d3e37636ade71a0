// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"testing"
)

func TestColours(t *testing.T) {
	tests := []struct {
		name     string
		terminal bool
		env      map[string]string
		want     bool
	}{
		{"a terminal", true, nil, true},
		{"a file", false, nil, false},
		{"NO_COLOR", true, map[string]string{"NO_COLOR": "1"}, false},
		{"an empty NO_COLOR", true, map[string]string{"NO_COLOR": ""}, true},
		{"CLICOLOR_FORCE in a file", false, map[string]string{"CLICOLOR_FORCE": "1"}, true},
		{"CLICOLOR_FORCE=0 in a file", false, map[string]string{"CLICOLOR_FORCE": "0"}, false},
		{"both", true, map[string]string{"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, false},
		{"CLICOLOR=0", true, map[string]string{"CLICOLOR": "0"}, false},
		{"a dumb terminal", true, map[string]string{"TERM": "dumb"}, false},
	}
	for _, tt := range tests {
		if got := colours(tt.terminal, func(name string) string { return tt.env[name] }); got != tt.want {
			t.Errorf("%s: colours = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestColouredError(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("CLICOLOR_FORCE", "1")
	var stderr bytes.Buffer
	run(t.Context(), []string{"inlay", "cache", "show", "x"}, &bytes.Buffer{}, &stderr)
	want := "\x1b[1;31merror:\x1b[0m cache show takes no arguments\n\x1b[1;36mhint:\x1b[0m see `inlay cache show --help`\n"
	if got := stderr.String(); got != want {
		t.Errorf("stderr is %q, want %q", got, want)
	}
}
