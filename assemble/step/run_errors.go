// SPDX-License-Identifier: Apache-2.0

package step

import (
	"fmt"
	"strings"

	"inlay/layers/hint"
)

// A CommandError reports a command that failed in the sandbox.
type CommandError struct {
	Setting string // that asked for it
	Command string
	Exit    int
	Output  string // the end of what it said
	Err     error  // why it was ended, what it was refused; nil: it failed by itself
}

func (e *CommandError) Error() string {
	s := fmt.Sprintf("%s `%s` ended with status %d", e.Setting, e.Command, e.Exit)
	if e.Err != nil {
		s = fmt.Sprintf("%s `%s` failed: %v", e.Setting, e.Command, e.Err)
	}
	if e.Output != "" {
		s += "\n  " + strings.ReplaceAll(e.Output, "\n", "\n  ")
	}
	return s
}

// Unwrap returns why the command was ended.
func (e *CommandError) Unwrap() error { return e.Err }

// Hint says where to look, unless the reason knows better.
func (e *CommandError) Hint() string {
	if text, ok := hint.Of(e.Err); ok {
		return text
	}
	return "see what it says above; run it in the image to find out more: inlay run -it IMAGE -- sh"
}

// A UserError reports a user that the image doesn't have.
type UserError struct{ Setting, User string }

func (e *UserError) Error() string {
	return fmt.Sprintf("%s is to run as %q, and there is no such user or group in the image", e.Setting, e.User)
}

// Hint says how to have one.
func (e *UserError) Hint() string {
	return "make it above with RUN useradd, or give numbers: USER 1000:1000"
}

// An ArgError reports a build argument whose value nobody knows.
type ArgError struct{ Setting, Name string }

func (e *ArgError) Error() string {
	return fmt.Sprintf("%s needs the build argument %s, and its value is in no plan", e.Setting, e.Name)
}

// Hint says how to give it.
func (e *ArgError) Hint() string {
	return "give it once more: `--build-arg " + e.Name + "=VALUE`"
}

// A SecretError reports a secret that a command reads, and nobody gave.
type SecretError struct{ Setting, ID string }

func (e *SecretError) Error() string {
	return fmt.Sprintf("%s reads the secret %s, and there is none", e.Setting, e.ID)
}

// Hint says how to give it.
func (e *SecretError) Hint() string {
	return fmt.Sprintf("give it: `--secret id=%s,src=FILE` or `--secret id=%[1]s,env=NAME`", e.ID)
}

// A ForeignError reports a command of another platform than this machine's.
type ForeignError struct {
	Setting  string // that needs it
	Platform string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s runs a program of %s, which this machine can't execute", e.Setting, e.Platform)
}

// Hint says how to do with it or without.
func (e *ForeignError) Hint() string {
	return fmt.Sprintf("set up binfmt_misc with qemu-user-static, build on a machine of %s, or leave out `%s`: nothing else of this build needs it", e.Platform, e.Setting)
}
