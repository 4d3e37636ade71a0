// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bytes"
	"context"

	"inlay/layers/pattern"
	"inlay/resolve/index"
)

// ownIndex matches what uv says of its own index.
var ownIndex = pattern.New(`default package index \(by default: <(https?://[^>\s]+)>\)`)

// WithOwnIndex returns set with the index that is uv's own, if no other is the
// default. uv is asked which that is.
func WithOwnIndex(ctx context.Context, run Runner, uv UV, set *index.Set) (*index.Set, error) {
	if set.Default() != "" {
		return set, nil
	}
	var out bytes.Buffer
	exit, err := run.Run(ctx, Command{Path: uv.Path, Args: []string{"pip", "install", "--help"}, Stdout: &out, Stderr: &out})
	if err != nil {
		return nil, err
	}
	m := ownIndex().FindStringSubmatch(out.String())
	if exit != 0 || m == nil {
		return nil, &OwnIndexError{UV: uv.Version}
	}
	return set.With("uv "+uv.Version, index.Index{URL: m[1], Default: true})
}

// An OwnIndexError reports a uv that doesn't say which index is its own.
type OwnIndexError struct{ UV string }

func (e *OwnIndexError) Error() string {
	return "uv " + e.UV + " doesn't say which index is its own, so nothing in the sandbox can be let to it"
}

// Hint says how to name one.
func (e *OwnIndexError) Hint() string { return "name the index with `--index-url URL`" }

// torchPage matches what uv says of the page of torch that it asks for first.
var torchPage = pattern.New(`(?m)(https?://\S+)/torch/$`)

// torchIndex returns the index that uv knows of for a build of torch, "" if it
// doesn't say. It is asked without a network.
func (r *Resolver) torchIndex(ctx context.Context, uv UV, s *session, build string) (string, error) {
	file, err := s.write("torch.txt", []string{"torch"})
	if err != nil {
		return "", err
	}
	log := &logWriter{keep: torchPage().Match}
	args := []string{
		"pip", "compile", "--verbose", "--offline", "--no-cache", "--no-deps", "--python", s.skeleton.python, "--torch-backend=" + build, file,
	}
	if _, err := r.Runner.Run(ctx, Command{Path: uv.Path, Args: args, Dir: s.dir, Env: s.common, Stdout: log, Stderr: log}); err != nil {
		return "", err
	}
	return first(torchPage(), log.String()), nil
}
