// SPDX-License-Identifier: Apache-2.0

package pyproject

import (
	"context"
	"fmt"
	"strings"
)

// A Local is a way to list what a Python of this machine has.
type Local struct {
	Way     string   // "pip_freeze", "uv_freeze" or "poetry_export"; "" runs Command
	Command []string // words of a shell's line
	Dir     string   // where it runs
}

// Local returns what a Python of this machine has, as a requirements file. It
// is asked by each build, for nothing tells that it changed. If the command fails
// the error is a *LocalError.
func (e *Exporter) Local(ctx context.Context, l Local) (string, error) {
	return e.Said.once(l, func() (string, error) { return e.list(ctx, l) })
}

// list is Local, whatever was said before.
func (e *Exporter) list(ctx context.Context, l Local) (text string, err error) {
	if e.Progress != nil {
		_, done := e.Progress("listing the packages of this machine's Python", 0)
		defer func() { done(err) }()
	}
	failed := &LocalError{}
	for _, try := range e.ways(ctx, l) {
		text, problem := try()
		if err := ctx.Err(); err != nil {
			return "", fmt.Errorf("listing the packages of this machine's Python: %w", err)
		}
		if problem == nil {
			return text, nil
		}
		failed.Attempts = append(failed.Attempts, *problem)
	}
	return "", failed
}

// ways returns what to try, in this order.
func (e *Exporter) ways(ctx context.Context, l Local) []func() (string, *Attempt) {
	program := func(words ...string) func() (string, *Attempt) {
		return func() (string, *Attempt) {
			path, err := e.LookPath(words[0])
			if err != nil {
				return "", &Attempt{Command: strings.Join(words, " "), Problem: words[0] + " is not on the PATH"}
			}
			return e.run(ctx, l.Dir, path, words)
		}
	}
	switch l.Way {
	case "pip_freeze":
		return []func() (string, *Attempt){program("pip", "freeze"), program("python3", "-m", "pip", "freeze")}
	case "uv_freeze":
		return []func() (string, *Attempt){func() (string, *Attempt) {
			words := []string{"uv", "pip", "freeze"}
			path, err := e.UV(ctx)
			if err != nil {
				return "", &Attempt{Command: strings.Join(words, " "), Problem: err.Error()}
			}
			return e.run(ctx, l.Dir, path, words)
		}}
	case "poetry_export":
		return []func() (string, *Attempt){program("poetry", "export", "--format=requirements.txt")}
	}
	return []func() (string, *Attempt){func() (string, *Attempt) {
		line := strings.Join(l.Command, " ")
		text, failed := e.run(ctx, l.Dir, "/bin/sh", []string{"sh", "-c", line})
		if failed != nil {
			failed.Command = e.redact(line)
		}
		return text, failed
	}}
}

// A LocalError reports a Python of this machine whose packages can't be listed.
type LocalError struct{ Attempts []Attempt }

func (e *LocalError) Error() string {
	text := "the packages of this machine's Python can't be listed"
	for _, a := range e.Attempts {
		text += "\n  " + a.String()
	}
	return text
}

// Hint says what to do instead.
func (e *LocalError) Hint() string {
	return "run it yourself until it prints requirements, or write them into a file and name it in `requirements`"
}
