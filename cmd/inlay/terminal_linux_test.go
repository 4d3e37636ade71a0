// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"inlay/resolve/plan"
)

// openTerminal opens a pseudo-terminal of that many columns: the side that
// programs write to, and the side that a person would see.
func openTerminal(t *testing.T, columns uint16) (program, person *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("this machine gives no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns})
	}
	if err == nil {
		program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return program, person
}

// shown builds an image on a terminal, with more environment variables, and
// returns what came to the terminal. A wheel is not there until the text running
// was shown, so that there is work to see.
func shown(t *testing.T, columns uint16, running string, env ...string) string {
	t.Helper()
	s := newScene(t)
	program, person := openTerminal(t, columns)
	seen := make(chan struct{})
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		<-seen
		s.index(w, r)
	})
	var once sync.Once
	defer once.Do(func() { close(seen) })
	args := []string{"build", "--plan", s.plan(t, []plan.Wheel{s.wheel(t, host, "idna", "idna/__init__.py=")}), "-o", "oci:out", "src"}
	cmd := s.command(t.Context(), args...)
	cmd.Env = append(slices.DeleteFunc(cmd.Env, func(kv string) bool {
		return strings.HasPrefix(kv, "NO_COLOR=") || strings.HasPrefix(kv, "CLICOLOR") || strings.HasPrefix(kv, "TERM=")
	}), append(env, "ERRORS=")...)
	cmd.Stderr = program
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	program.Close() // so that the other side ends when the program does
	var all bytes.Buffer
	buf := make([]byte, 4096)
	for {
		n, err := person.Read(buf)
		all.Write(buf[:n])
		if strings.Contains(all.String(), running) {
			once.Do(func() { close(seen) })
		}
		if err != nil {
			break // EIO: nobody writes any more
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, all.String())
	}
	if _, err := os.Stat(filepath.Join(s.dir, "out", "index.json")); err != nil {
		t.Error(err)
	}
	return all.String()
}

// What a terminal shows heeds its kind, its width and what its user asks for.
func TestTerminal(t *testing.T) {
	t.Parallel()
	colour := regexp.MustCompile(`\x1b\[[0-9;]*m`)
	moves := regexp.MustCompile(`\x1b\[[0-9]*[AJ]`)
	tests := []struct {
		name            string
		columns         uint16
		running         string // what is shown while it works
		env             []string
		colours, moving bool
	}{
		{"any", 100, "1 running", []string{"TERM=xterm"}, true, true},
		{"NO_COLOR", 100, "1 running", []string{"TERM=xterm", "NO_COLOR=1"}, false, true},
		{"CLICOLOR=0", 100, "1 running", []string{"TERM=xterm", "CLICOLOR=0"}, false, true},
		{"narrow", 25, "1 running", []string{"TERM=xterm"}, true, true},
		{"dumb", 100, "", []string{"TERM=dumb"}, false, false},
		{"dumb, and colours forced", 100, "", []string{"TERM=dumb", "CLICOLOR_FORCE=1"}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := shown(t, tt.columns, tt.running, tt.env...)
			if colour.MatchString(got) != tt.colours || moves.MatchString(got) != tt.moving {
				t.Errorf("the terminal shows %q, want colours: %v, moving: %v", got, tt.colours, tt.moving)
			}
			frames := moves.Split(got, -1)
			for _, frame := range frames[:len(frames)-1] { // what follows the last stays, and may be as long as it is
				for line := range strings.Lines(frame) {
					if text := strings.TrimSpace(colour.ReplaceAllString(line, "")); len([]rune(text)) >= int(tt.columns) {
						t.Errorf("a line of %d columns on %d: %q", len([]rune(text)), tt.columns, text)
					}
				}
			}
		})
	}
}
