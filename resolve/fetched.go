// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"inlay/ignore"
	"inlay/resolve/code"
	"inlay/resolve/plan"
	"inlay/resolve/tree"
)

// A Code says how the source gets into containers, and what that takes.
type Code struct {
	Way    code.Way
	Commit plan.Commit // of code.Repository
	Store  string      // of code.Store: its URL
	// Files lists what is uploaded there, and returns no nil list; fs.ErrNotExist is
	// a source that git knows nothing of.
	Files   func(ctx context.Context) ([]string, error)
	Digests *tree.Cache // of these files seen before; nil reads every file
}

// downloads reports whether containers fetch the source when they start.
func (c Code) downloads() bool { return c.Way == code.Repository || c.Way == code.Store }

// fetched returns the source that containers fetch, nil if they don't.
func (req Request) fetched(ctx context.Context) (*plan.Code, error) {
	switch req.Code.Way {
	case code.Repository:
		return &plan.Code{Target: target, Commit: &req.Code.Commit}, nil
	case code.Store:
		files, err := req.upload(ctx)
		if err != nil {
			return nil, err
		}
		return &plan.Code{Target: target, Store: req.Code.Store, Files: files}, nil
	default:
		return nil, nil
	}
}

// uploaded is the time of the files of an upload. It is always the same, so that
// the same source is the same upload, and not before 1980, which zip can't hold.
const uploaded = 315532800

// upload lists what an upload of the source holds. What the image's ignore file
// says has no part in that, git's has.
func (req Request) upload(ctx context.Context) (*plan.Files, error) {
	o := tree.Options{
		FS: req.Source, Written: req.Written, Own: req.Own, Target: "/", ModTime: uploaded,
		Cache: req.Code.Digests, Jobs: req.Jobs, Note: req.Note, Progress: req.Progress,
	}
	var err error
	if o.Only, err = req.Code.Files(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			req.note("warning: all files of the source are uploaded but for those that its .gitignore names: %v", err)
		}
		if o.Rules, err = gitRules(req.Context); err != nil {
			return nil, err
		}
	}
	o.Only = slices.DeleteFunc(o.Only, zenml)
	files, err := tree.Snapshot(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("reading the source: %w", err)
	}
	files.Files = slices.DeleteFunc(files.Files, func(f plan.File) bool { return zenml(f.Path) || f.Mode.IsDir() })
	if len(files.Files) == 0 {
		return nil, req.Settings.FieldError("allow_download_from_artifact_store", "there is no file to upload: git ignores all of the source, or it is empty",
			"change .gitignore, or set allow_download_from_artifact_store to false")
	}
	return files, nil
}

// zenml reports whether a path is in one of ZenML's own directories.
func zenml(name string) bool { return slices.Contains(strings.Split(name, "/"), ".zen") }

// gitRules reads the .gitignore file at the root of the source, where git can't
// be asked. Without one, everything but what is git's own counts.
func gitRules(context string) (*ignore.Rules, error) {
	const name = ".gitignore"
	f, err := os.Open(filepath.Join(context, name))
	if errors.Is(err, fs.ErrNotExist) {
		return ignore.ParseFile(name, strings.NewReader(""))
	}
	return parseIgnore(f, err)
}

// fetchSteps return the layer of what fetches the source when a container
// starts, if one does.
func fetchSteps(req Request, r *Result) ([]plan.Step, error) {
	if !req.Code.downloads() {
		return nil, nil
	}
	if r.Base.Python == nil {
		field := "allow_download_from_artifact_store"
		if req.Code.Way == code.Repository {
			field = "allow_download_from_code_repository"
		}
		return nil, req.Settings.FieldError(field, "the image has no Python, with which containers fetch the source: "+r.Base.PythonProblem, "set it to false for this image, or name a parent with Python")
	}
	return []plan.Step{{Name: "what fetches the source", Files: &plan.Files{
		Base: r.Base.Base(code.EntrypointDir), Target: code.EntrypointDir, ModTime: req.Created, Files: code.Entrypoint(),
	}}}, nil
}

// fetching returns the configuration with the source fetched before the command
// runs.
func fetching(c plan.Config, r *Result) plan.Config {
	own, cmd := c.Entrypoint, c.Cmd
	if own == nil {
		own = r.Parent.Config.Config.Entrypoint
		if cmd == nil {
			cmd = r.Parent.Config.Config.Cmd // which an entrypoint drops
		}
	}
	c.Entrypoint = append(code.Command(r.Base.Python.Interpreter, target), own...)
	c.Cmd = cmd
	return c
}
