// SPDX-License-Identifier: Apache-2.0

// Package pyproject turns a pyproject.toml into requirements, by the command
// with which the tool that locked the project exports them. A lock file that no
// longer fits its project is an error, and none is ever written.
package pyproject

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"inlay/layers/pattern"
	"inlay/resolve/python"
)

// A Project is a pyproject.toml whose dependencies are wanted.
type Project struct {
	File    string   // its path
	Dir     string   // where Command runs: what relative paths in it start from
	Command []string // exports it: words of a shell's line; none means uv's and then poetry's
}

// maxOutput bounds what a command prints, in bytes. A project of a thousand
// packages with the hashes of all their files takes 5 MB.
const maxOutput = 64 << 20

// Check returns an error for which errors.Is(err, fs.ErrNotExist) holds if
// there is no such file, and a *DirectoryError if it is a directory.
func (p Project) Check() error {
	info, err := os.Stat(p.File)
	if err != nil {
		return fmt.Errorf("reading the project: %w", err)
	}
	if info.IsDir() {
		return &DirectoryError{p.File}
	}
	return nil
}

// Sum returns the digest of what the requirements of p depend on: the project,
// the lock file beside or above it and the command; "sha256:…".
func (p Project) Sum() (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q\n", p.Command)
	for _, name := range p.files() {
		b, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("reading the project: %w", err)
		}
		fmt.Fprintf(sum, "%s %t %x\n", filepath.Base(name), err == nil, sha256.Sum256(b))
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

const poetryLock = "poetry.lock"

// files lists what Sum reads. The lock of a uv workspace is at its root, with
// the root's own pyproject.toml.
func (p Project) files() []string {
	dir := p.dir()
	files := []string{p.File, filepath.Join(dir, poetryLock)}
	for {
		lock := filepath.Join(dir, "uv.lock")
		if _, err := os.Stat(lock); err == nil {
			return append(files, lock, filepath.Join(dir, "pyproject.toml"))
		}
		above := filepath.Dir(dir)
		if above == dir {
			return files
		}
		dir = above
	}
}

// dir returns the directory of the project.
func (p Project) dir() string {
	dir := filepath.Dir(p.File)
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

// storeFormat is part of the name under which an export is stored. It grows
// when the default commands print something else.
const storeFormat = 1

// A Store keeps exports by name; disk.Values is one.
type Store interface {
	Get(name string) ([]byte, error) // fs.ErrNotExist if there is none
	Put(name string, b []byte) error
}

// An Exporter runs export commands on this machine.
type Exporter struct {
	// UV finds the uv for the default command: any that can export.
	UV func(context.Context) (path string, err error)
	// LookPath finds a program on the user's PATH, as exec.LookPath does.
	LookPath func(name string) (string, error)
	// Runner runs what was found.
	Runner python.Runner
	// Env is the user's environment as KEY=VALUE; commands see all of it.
	Env []string
	// Secrets are not shown, whatever a command says when it fails.
	Secrets []string
	// Store keeps what the default commands print. A command of the settings
	// may depend on anything, so it always runs.
	Store Store
	// Said is what commands said to others before.
	Said *Said
	// Progress is told of a command that takes its time; nil is fine.
	Progress func(task string, total int64) (add func(n int64), done func(error))
	// Note is told what the user should know; nil drops it.
	Note func(string)
}

// Options say how to export.
type Options struct {
	Offline bool // uv may not use the network
	Refresh bool // run the command although the answer is known
}

// Export returns the requirements of p, which messages call name, as a
// requirements file. If no command succeeds the error is an *ExportError.
func (e *Exporter) Export(ctx context.Context, name string, p Project, o Options) (string, error) {
	return e.Said.once(p, func() (string, error) { return e.exportAnew(ctx, name, p, o) })
}

// exportAnew is Export, whatever was said before.
func (e *Exporter) exportAnew(ctx context.Context, name string, p Project, o Options) (text string, err error) {
	sum, err := p.Sum()
	if err != nil {
		return "", err
	}
	stored := fmt.Sprintf("export-%d-%s", storeFormat, strings.TrimPrefix(sum, "sha256:"))
	if len(p.Command) == 0 && !o.Refresh {
		if b, err := e.Store.Get(stored); err == nil {
			return string(b), nil
		}
	}
	if e.Progress != nil {
		_, done := e.Progress("exporting "+name, 0)
		defer func() { done(err) }()
	}
	if text, err = e.export(ctx, name, p, o); err != nil {
		return "", err
	}
	if len(p.Command) > 0 || secret().MatchString(text) {
		return text, nil
	}
	return text, e.Store.Put(stored, []byte(text))
}

// secret matches a URL that may hold a password or a signature.
var secret = pattern.New(`://[^/\s]*@|://[^\s?]*\?`)

// export returns what the first command that succeeds prints.
func (e *Exporter) export(ctx context.Context, name string, p Project, o Options) (string, error) {
	_, err := os.Stat(filepath.Join(p.dir(), poetryLock))
	failed := &ExportError{Project: name, Dir: p.dir(), Custom: len(p.Command) > 0, Poetry: err == nil}
	ways := []func(context.Context, Project, Options) (string, *Attempt){e.uv, e.poetry}
	if failed.Custom {
		ways = []func(context.Context, Project, Options) (string, *Attempt){e.custom}
	}
	for _, way := range ways {
		text, problem := way(ctx, p, o)
		if err := ctx.Err(); err != nil {
			return "", fmt.Errorf("exporting %s: %w", name, err)
		}
		if problem == nil {
			return text, nil
		}
		failed.Attempts = append(failed.Attempts, *problem)
	}
	return "", failed
}
