// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"inlay/ignore"
	"inlay/layers/pattern"
	"inlay/resolve/code"
	"inlay/resolve/dockerfile"
	"inlay/resolve/index"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/recipe"
	"inlay/resolve/settings"
	"inlay/resolve/source"
	"inlay/resolve/tree"
)

// A Dockerfile is what is at hand for the user's.
type Dockerfile struct {
	Context fs.FS       // build_context_root; nil: there is none
	Written []string    // as in Request, of that
	Digests *tree.Cache // as in Request, of that
	Machine string      // the platform of this machine
	// Values takes the values of arguments that no plan holds, before they are
	// needed.
	Values map[string]string
}

// readDockerfile reads the Dockerfile that the settings name, nil if none.
func readDockerfile(req Request) (*dockerfile.File, error) {
	s := req.Settings
	name := s.Recipe.Dockerfile
	if name == "" {
		if s.Recipe.Root != "" {
			req.note("warning: %v", s.FieldError("build_context_root", "no effect without `dockerfile`", ""))
		}
		return nil, nil
	}
	if s.ParentImage != "" {
		req.note("warning: %v", s.FieldError("parent_image", "no effect: `dockerfile` says what the parent is", ""))
	}
	const fix = "name a Dockerfile by its path in the context"
	text, err := os.ReadFile(inContext(req.Context, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, s.FieldError("dockerfile", "there is no file "+name, fix)
	case errors.Is(err, syscall.EISDIR):
		return nil, s.FieldError("dockerfile", name+" is a directory", fix)
	case err != nil:
		return nil, fmt.Errorf("reading the Dockerfile: %w", err)
	}
	return dockerfile.Parse(shown(req, name), text)
}

// shown returns the name of a file for messages and the plan: without the path
// of this machine.
func shown(req Request, name string) string {
	if !filepath.IsAbs(name) {
		return filepath.ToSlash(filepath.Clean(name))
	}
	if dir, err := filepath.Abs(req.Context); err == nil {
		if rel, err := filepath.Rel(dir, name); err == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel)
		}
	}
	return filepath.Base(name)
}

// secretName matches variables that hold secrets by what they are called.
var secretName = pattern.New(`(?i)(^|_)(TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIALS?|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|AUTH)S?(_|$)`)

// IsSecret reports whether a build argument seems to hold a secret: no key, no
// plan and no image says anything of its value.
func IsSecret(name, value string) bool {
	return value != "" && secretName().MatchString(name) || index.IsSecret(name, value)
}

// dockerfileOptions decide what the Dockerfile comes to.
func dockerfileOptions(req Request) dockerfile.Options {
	s := req.Settings
	return dockerfile.Options{
		Args: s.Recipe.Args, Target: s.Recipe.Target, Platform: cmp.Or(s.Platform, req.Platform), Machine: req.Dockerfile.Machine, Secret: IsSecret,
	}
}

// baseOf returns the name of the image that the target begins with.
func baseOf(f *dockerfile.File, o dockerfile.Options) (string, error) {
	needed, err := f.Stages(o)
	if err != nil {
		return "", err
	}
	last := needed[len(needed)-1]
	for last.Of != nil {
		last = last.Of
	}
	return last.From, nil
}

// cook turns the Dockerfile into stages of the plan. base is the image that its
// target begins with, which was opened.
func (r *Result) cook(ctx context.Context, req Request, f *dockerfile.File, base parentName) error {
	files, err := dockerfileContext(ctx, req)
	if err != nil {
		return err
	}
	if req.Dockerfile.Values == nil {
		req.Dockerfile.Values = map[string]string{}
	}
	o := recipe.Options{
		File: f, Options: dockerfileOptions(req), Context: files, Created: req.Created, Zstd: req.Settings.Compression == plan.Zstd,
		Values: req.Dockerfile.Values, Head: func(name string) ([]byte, error) { return head(req.Dockerfile.Context, name) },
		Open: func(ctx context.Context, name string) (*parent.Inventory, error) {
			if name == base.name {
				return r.Under, nil
			}
			return openStage(ctx, req, name)
		},
		Look: func(ctx context.Context, stages []plan.Stage, of *parent.Inventory) (*parent.Inventory, error) {
			quiet := req
			quiet.Note = nil // what is noteworthy of the end is told there
			return r.lookAt(ctx, quiet, stages, of)
		},
	}
	made, err := recipe.Resolve(ctx, o)
	if err != nil {
		return err
	}
	r.stages = made.Stages
	last := &r.stages[len(r.stages)-1]
	last.Config.Annotations = annotations(r.Under)
	if r.bare {
		r.Parent = r.Under
		return nil
	}
	r.Parent, err = r.lookAt(ctx, req, r.stages, r.Under)
	return err
}

// lookAt lists what the image of the last of stages holds.
func (r *Result) lookAt(ctx context.Context, req Request, stages []plan.Stage, of *parent.Inventory) (*parent.Inventory, error) {
	img, err := req.Make(ctx, plan.Plan{Version: plan.Version, Platform: of.Platform, Created: req.Created, Stages: stages})
	if err != nil {
		return nil, err
	}
	return look(ctx, req, img, of)
}

// openStage opens an image that a stage begins with.
func openStage(ctx context.Context, req Request, name string) (*parent.Inventory, error) {
	from := parentName{name: name, platform: cmp.Or(req.Settings.Platform, req.Platform)}
	var err error
	if from.ref, err = parseFrom(name); err != nil {
		return nil, err
	}
	return inspect(ctx, req, from, "")
}

// parseFrom reads the name of an image, or scratch.
func parseFrom(name string) (source.Reference, error) {
	if name == dockerfile.Scratch {
		return source.Reference{Transport: plan.Scratch}, nil
	}
	return source.Parse(name)
}

// dockerfileContext lists the files that the Dockerfile can copy, nil if there is
// no context.
func dockerfileContext(ctx context.Context, req Request) (*plan.Files, error) {
	d := req.Dockerfile
	if d.Context == nil {
		return nil, nil
	}
	rules, err := dockerfileIgnore(req)
	if err != nil {
		return nil, err
	}
	files, err := tree.Snapshot(ctx, tree.Options{
		FS: d.Context, Rules: rules, Written: d.Written, ModTime: req.Created, Cache: d.Digests, Jobs: req.Jobs, Note: req.Note, Progress: req.Progress,
	})
	if err != nil {
		return nil, fmt.Errorf("reading build_context_root: %w", err)
	}
	return files, nil
}

// dockerfileIgnore reads the ignore file of the Dockerfile's context: the one that
// the settings name, else that beside the Dockerfile, else .dockerignore.
func dockerfileIgnore(req Request) (*ignore.Rules, error) {
	s := req.Settings
	if name := s.Recipe.Dockerignore; name != "" {
		f, err := os.Open(inContext(req.Context, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, s.FieldError("parent_image_build_config.dockerignore", "there is no file "+name, "name an ignore file by its path in the context")
		}
		return parseIgnore(f, err)
	}
	for _, name := range []string{
		inContext(req.Context, s.Recipe.Dockerfile) + ".dockerignore", filepath.Join(inContext(req.Context, s.Recipe.Root), ".dockerignore"),
	} {
		f, err := os.Open(name)
		if !errors.Is(err, fs.ErrNotExist) {
			return parseIgnore(f, err)
		}
	}
	return &ignore.Rules{}, nil
}

// head returns the beginning of a file, enough to know archives by.
func head(files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	b := make([]byte, 512)
	n, err := io.ReadFull(f, b)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// isBare reports whether the settings want nothing on top of the Dockerfile's
// image: then that is the image.
func isBare(req Request, groups int) bool {
	s := req.Settings
	return s.Recipe.Dockerfile != "" && req.Code.Way == code.Nothing && groups == 0 && s.InstallCommand == "" && s.WorkDir == "" && s.User == "" &&
		len(s.Apt.Packages)+len(s.Environment)+len(s.RuntimeEnvironment) == 0
}

// recipeDigest is what a lock file says of the Dockerfile, "" without one.
func recipeDigest(f *dockerfile.File, s *settings.Docker) string {
	if f == nil {
		return ""
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%q\n", f.Digest, s.Recipe.Target)
	args := slices.Sorted(slices.Values(s.Recipe.Args))
	for _, kv := range args {
		if name, value, _ := strings.Cut(kv, "="); !IsSecret(name, value) {
			fmt.Fprintf(h, "%q\n", kv)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
