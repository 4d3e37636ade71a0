// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"inlay/assemble/output"
	"inlay/layers/pattern"
)

// engine returns the output that loads the image into a container engine: the
// one that is named, or else the first that is there.
func (j *job) engine(named string) (target, error) {
	if kinds := output.Engines(); named != "" && !slices.Contains(kinds, named) {
		hint := nearest(named, kinds, "--output engine:")
		if hint == "" {
			hint = "write engine, or engine: and one of " + strings.Join(kinds, ", ")
		}
		return target{}, &usageError{fmt.Sprintf("no engine %q", named), hint}
	}
	tags, err := j.tags()
	if err != nil {
		return target{}, err
	}
	if len(tags) == 0 {
		tag, err := name.NewTag("localhost/" + repositoryFor(j.context) + ":latest")
		if err != nil {
			return target{}, err
		}
		tags = []name.Tag{tag}
	}
	out := output.Engine{Name: named, Tags: tags, Run: runProgram, Progress: output.Progress(j.show.Start)}
	said := func(d output.Delivered) string {
		names := make([]string, len(tags))
		for i, t := range tags {
			names[i] = t.String()
		}
		run := d.Engine + " run --rm " + names[0]
		if d.Engine == "containerd" {
			run = "ctr run --rm " + d.Reference + " NAME"
		}
		return fmt.Sprintf("loaded %s in %s into %s as %s\nto run it: `%s`", inBytes(d.Bytes), count(d.Moved, "blob"), d.Engine, strings.Join(names, ", "), run)
	}
	return target{out, "", said}, nil
}

var notRepository = pattern.New(`[^a-z0-9]+`)

// repositoryFor makes the name of a repository of the context's.
func repositoryFor(context string) string {
	base := strings.ToLower(filepath.Base(realPath(context)))
	if s := strings.Trim(notRepository().ReplaceAllString(base, "-"), "-"); s != "" {
		return s
	}
	return "image"
}

// runProgram runs a program of this machine with the environment that it is
// set up by. What it starts ends with it.
func runProgram(ctx context.Context, c output.Call) error {
	cmd := exec.CommandContext(ctx, c.Program, c.Args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.WaitDelay = 10 * time.Second // what it started may hold its output open
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd.Run()
}
