// SPDX-License-Identifier: Apache-2.0

package pyproject

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"inlay/resolve/python"
	"inlay/resolve/python/reqfile"
)

// uv exports with uv: what ZenML runs (spec: `uv export
// --format=requirements-txt --directory={directory} --no-emit-project`), but
// with hashes, without what is only for development, and without writing a lock
// file.
func (e *Exporter) uv(ctx context.Context, p Project, o Options) (string, *Attempt) {
	command := func(check string) []string {
		c := []string{
			"uv", "export", "--quiet", "--format=requirements-txt", "--directory=" + p.dir(),
			"--no-emit-project", "--no-dev", "--no-header", "--no-annotate", check,
		}
		if o.Offline {
			c = append(c, "--offline")
		}
		return c
	}
	path, err := e.UV(ctx)
	if err != nil {
		return "", &Attempt{Command: strings.Join(command("--locked"), " "), Problem: err.Error()}
	}
	text, failed := e.run(ctx, p.Dir, path, command("--locked"))
	if failed == nil || !strings.Contains(failed.Stderr, "No interpreter found") {
		return text, failed
	}
	// To compare the lock with the project uv wants a Python, and this machine
	// has none.
	text, failed = e.run(ctx, p.Dir, path, command("--frozen"))
	if failed == nil && e.Note != nil {
		e.Note("note: uv.lock is used without comparing it with its project: that takes a Python on this machine")
	}
	return text, failed
}

// poetry exports with poetry, which has the command since 1.x, and in 2.x by a
// plugin.
func (e *Exporter) poetry(ctx context.Context, p Project, _ Options) (string, *Attempt) {
	command := []string{"poetry", "export", "--format=requirements.txt", "--directory=" + p.dir()}
	path, err := e.LookPath("poetry")
	if err != nil {
		return "", &Attempt{Command: strings.Join(command, " "), Problem: "poetry is not on the PATH"}
	}
	return e.run(ctx, p.Dir, path, command)
}

// custom runs the line that the words of p.Command make, as ZenML does.
func (e *Exporter) custom(ctx context.Context, p Project, _ Options) (string, *Attempt) {
	line := strings.ReplaceAll(strings.Join(p.Command, " "), "{directory}", quoted(p.dir()))
	text, failed := e.run(ctx, p.Dir, "/bin/sh", []string{"sh", "-c", line})
	if failed != nil {
		failed.Command = e.redact(line)
	}
	return text, failed
}

// quoted returns a path as a word for the shell: as it is, unless the shell
// would see more in it.
func quoted(path string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@%,:="
	if strings.Trim(path, plain) == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// run runs a command; words are its name as the user knows it, and its
// arguments.
func (e *Exporter) run(ctx context.Context, dir, path string, words []string) (string, *Attempt) {
	stdout, stderr := &bounded{}, &tail{}
	exit, err := e.Runner.Run(ctx, python.Command{
		Path: path, Args: words[1:], Dir: dir, Env: e.Env, Stdout: stdout, Stderr: stderr,
	})
	if stdout.full { // the error may be that the program couldn't go on
		err = errTooMuch
	}
	if err == nil && exit == 0 {
		return stdout.String(), nil
	}
	failed := &Attempt{Command: strings.Join(words, " "), Exit: exit, Stderr: e.redact(stderr.String())}
	if err != nil {
		failed.Problem = e.redact(err.Error())
	}
	return "", failed
}

// redact returns text without secrets.
func (e *Exporter) redact(text string) string { return reqfile.Redact(reqfile.Hide(text, e.Secrets)) }

var errTooMuch = fmt.Errorf("it prints more than %d MiB", maxOutput>>20)

// bounded takes up to maxOutput bytes. The buffer is not embedded: its ReadFrom
// would take everything.
type bounded struct {
	buf  bytes.Buffer
	full bool // something was refused
}

// Write takes some output, or refuses it if there is too much.
func (b *bounded) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > maxOutput {
		b.full = true
		return 0, errTooMuch
	}
	return b.buf.Write(p)
}

// String returns what it took.
func (b *bounded) String() string { return b.buf.String() }

// maxTail bounds what is kept of the errors of a command, in bytes.
const maxTail = 4 << 10

// tail keeps the last lines: a program says last why it fails.
type tail struct {
	kept []byte
	cut  bool
}

// Write takes what a program says. It never fails, for there may be more.
func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p[max(0, len(p)-2*maxTail):]...)
	if len(t.kept) > 2*maxTail {
		t.kept, t.cut = append([]byte(nil), t.kept[len(t.kept)-maxTail:]...), true
	}
	return len(p), nil
}

// String returns whole lines.
func (t *tail) String() string {
	kept := t.kept[max(0, len(t.kept)-maxTail):]
	if t.cut || len(kept) < len(t.kept) {
		_, kept, _ = bytes.Cut(kept, []byte("\n"))
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(kept), "\ufffd"))
}
