// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"inlay/layers/pattern"
	"inlay/layers/sleep"
)

// A Runner runs commands; Exec is one.
type Runner interface {
	// Run runs c to its end and returns its exit code. The error is for a
	// command that couldn't be started or was killed; when ctx ends it is
	// killed, and errors.Is(err, ctx.Err()) holds.
	Run(ctx context.Context, c Command) (exit int, err error)
}

// A Command is a program to run, with nothing inherited from this one.
type Command struct {
	Path   string // of the program
	Args   []string
	Dir    string   // to run in
	Env    []string // KEY=VALUE: all of its environment
	Stdout io.Writer
	Stderr io.Writer
}

// Exec runs commands on this machine, as they are.
type Exec struct{}

// Run runs c.
func (Exec) Run(ctx context.Context, c Command) (int, error) {
	const tries = 500
	for try := 1; ; try++ {
		cmd := exec.CommandContext(ctx, c.Path, c.Args...)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.Dir, c.Env, c.Stdout, c.Stderr
		if cmd.Env == nil {
			cmd.Env = []string{} // nil would mean this program's own
		}
		cmd.WaitDelay = time.Second // what it started may hold its output open
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with what it started
		err := cmd.Run()
		if errors.Is(err, syscall.ETXTBSY) && try < tries {
			// Another goroutine forked while the program was being written, and
			// that child holds it open until it execs, which is a matter of
			// milliseconds where the machine has nothing else to do.
			if err := sleep.For(ctx, 10*time.Millisecond); err != nil {
				return 0, err
			}
			continue
		}
		return exitCode(ctx, c, err)
	}
}

func exitCode(ctx context.Context, c Command, err error) (int, error) {
	if ctx.Err() != nil {
		return 0, fmt.Errorf("running %s: %w", c.Path, ctx.Err())
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("running %s: %w", c.Path, err)
	}
	return 0, nil
}

// What of the user's environment a program sees: how to reach the network, and
// where the user's own files are. Nothing that changes what uv decides.
const networkEnv = `PATH|HOME|USER|LANG|LC_ALL|TMPDIR|(?i:(?:https?|all|no)_proxy)|SSL_CERT_(?:FILE|DIR)|SSL_CLIENT_CERT|NETRC`

var (
	uvEnv         = pattern.New(`^(?:` + networkEnv + `|XDG_DATA_HOME|UV_(?:HTTP_\w+|CONCURRENT_DOWNLOADS|NATIVE_TLS|SYSTEM_CERTS|LOCK_TIMEOUT|REQUEST_TIMEOUT))=`)
	hostPythonEnv = pattern.New(`^(?:` + networkEnv + `|PYENV_\w+|LD_LIBRARY_PATH|REQUESTS_CA_BUNDLE|PIP_(?:CERT|CLIENT_CERT|PROXY|TIMEOUT|DEFAULT_TIMEOUT|RETRIES|RESUME_RETRIES|TRUSTED_HOST))=`)
	anyEnv        = pattern.New(``)
	pipEnv        = pattern.New(`^(?:` + networkEnv + `|XDG_CONFIG_\w+|XDG_CACHE_HOME|PIP_\w+|REQUESTS_CA_BUNDLE|PYENV_\w+|LD_LIBRARY_PATH)=`)
)

// pick returns the variables of environ that names matches, and then those of
// own, which are set whatever environ says.
func pick(environ []string, names *regexp.Regexp, own ...string) []string {
	picked := make([]string, 0, len(own))
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if names.MatchString(kv) && !sets(own, name) {
			picked = append(picked, kv)
		}
	}
	return append(picked, own...)
}

func sets(env []string, name string) bool {
	for _, kv := range env {
		if strings.HasPrefix(kv, name+"=") {
			return true
		}
	}
	return false
}

// A logWriter keeps of what a program says the lines that keep wants, up to a
// bound; a line that is too long is cut.
type logWriter struct {
	keep func(line []byte) bool // nil: all
	kept bytes.Buffer
	part []byte // of the last line
	full bool   // something was dropped
}

const (
	maxLog     = 8 << 20  // bytes kept of a log
	maxLogLine = 64 << 10 // bytes kept of a line
)

// Write takes some of the log. It never fails, for the program has more to say.
func (w *logWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		room := min(len(line), maxLogLine-len(w.part))
		w.part = append(w.part, line[:room]...)
		if whole {
			w.flush()
		}
		p = rest
	}
	return n, nil
}

func (w *logWriter) flush() {
	switch {
	case w.keep != nil && !w.keep(w.part):
	case w.kept.Len()+len(w.part) >= maxLog:
		w.full = true
	default:
		w.kept.Write(w.part)
		w.kept.WriteByte('\n')
	}
	w.part = w.part[:0]
}

// String returns what was kept.
func (w *logWriter) String() string {
	if len(w.part) > 0 {
		w.flush()
	}
	return w.kept.String()
}

// A boundedBuffer takes up to limit bytes. The buffer is not embedded: its
// ReadFrom would take everything.
type boundedBuffer struct {
	buf   bytes.Buffer
	limit int
}

// Bytes returns what it took.
func (b *boundedBuffer) Bytes() []byte { return b.buf.Bytes() }

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > b.limit {
		return 0, fmt.Errorf("the output is longer than %d bytes", b.limit)
	}
	return b.buf.Write(p)
}
