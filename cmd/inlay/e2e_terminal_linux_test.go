// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestE2ERunTerminal runs an image at a terminal with inlay and with podman.
func TestE2ERunTerminal(t *testing.T) {
	e := e2e(t)
	image := t.TempDir() + "/image"
	e.inlay(t, "build", "-q", "--parent-image", e.parent("debian"), "-o", "oci:"+image, project(t, "", nil))
	const script = `test -t 0 && test -t 1 && test -t 2 && echo a terminal; tty | cut -c1-9; stty size; read line; echo "got $line"; exit 4`
	var shown []string
	for name, cmd := range map[string]*exec.Cmd{
		"inlay":  exec.CommandContext(t.Context(), e.program, "run", "-q", "-it", "oci:"+image, "--", "sh", "-c", script),
		"podman": exec.CommandContext(t.Context(), filepath.Join(e.scripts, "run.sh"), image, "--", "sh", "-c", script),
	} {
		program, person := openTerminal(t, 77)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
		cmd.Env = append(append(os.Environ(), e.store()...), "INLAY_CACHE_DIR="+e.cache, "RUN_ARGS=-t", "TERM=xterm")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		program.Close() // so that the other side ends when the program does
		var out lockedBuffer
		ended := make(chan struct{})
		go func() { defer close(ended); _, _ = io.Copy(&out, person) }()
		await(t, &out, "24 77")
		if _, err := person.WriteString("words\n"); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // its status is looked at
		<-ended
		if got := cmd.ProcessState.ExitCode(); got != 4 {
			t.Errorf("%s ends with %d", name, got)
		}
		shown = append(shown, out.String())
	}
	if shown[0] != shown[1] || !strings.HasPrefix(shown[0], "a terminal\r\n/dev/pts/\r\n24 77\r\n") || !strings.HasSuffix(shown[0], "got words\r\n") {
		t.Errorf("the terminals show %q and %q", shown[0], shown[1])
	}
}
