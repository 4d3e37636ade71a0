// SPDX-License-Identifier: Apache-2.0

package python

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"inlay/cache/disk"
	"inlay/resolve/index"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python/reqfile"
)

// A Staging is a wheel to install into an empty tree.
type Staging struct {
	Inventory *parent.Inventory // whose Python it is for
	Scheme    plan.Scheme       // where in the tree it goes
	Wheel     plan.Wheel
	File      *os.File // its content, whose digest was checked
}

// Stage lets uv install a wheel alone into an empty tree, as it would into the
// parent: scripts name the parent's interpreter, which is not run, and neither
// is anything of the wheel. Remove drops the tree. Everything happens in a
// directory of its own, uv's cache too. *NoUVError and *OfflineError mean that
// there is no uv; other errors say why uv refuses.
func (r *Resolver) Stage(ctx context.Context, st Staging) (tree fs.FS, remove func(), err error) {
	if r.Progress != nil {
		_, done := r.Progress("installing "+st.Wheel.File, 0)
		defer func() { done(err) }()
	}
	uv, err := r.UV(ctx)
	if err != nil {
		return nil, nil, err
	}
	dir, drop, err := disk.Scratch(ctx, r.Temp)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			drop()
		}
	}()
	python, err := st.lay(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("preparing to install %s: %w", st.Wheel.File, err)
	}
	wheel, err := st.copyWheel(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("preparing to install %s: %w", st.Wheel.File, err)
	}
	if err := r.installInto(ctx, uv, dir, python, wheel); err != nil {
		return nil, nil, err
	}
	root, err := os.OpenRoot(filepath.Join(dir, "root"))
	if err != nil {
		return nil, nil, err
	}
	return root.FS(), func() { _ = root.Close(); drop() }, nil
}

// lay makes the empty tree and, beside it, the stand-in for the interpreter.
// The stand-in says that its own path is the one in the image, for that is what
// scripts are to name.
func (st Staging) lay(dir string) (python string, err error) {
	py := *st.Inventory.Python
	s := st.Scheme
	py.Scheme.Purelib, py.Scheme.Platlib, py.Scheme.Scripts = s.Purelib, s.Platlib, s.Scripts
	py.Scheme.Data, py.Scheme.Headers = s.Data, s.Headers
	root := filepath.Join(dir, "root")
	info := interpreterInfo(&py, st.Inventory.Libc, root)
	info.Executable = s.Interpreter
	answer, err := json.Marshal(info)
	if err != nil {
		return "", err
	}
	for _, name := range stageDirs {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return "", err
		}
	}
	bin, err := os.OpenRoot(filepath.Join(dir, "bin"))
	if err != nil {
		return "", err
	}
	defer func() { _ = bin.Close() }()
	python = filepath.Join(dir, "bin", "python")
	return python, writeScript(bin, "python", interpreterScript(filepath.Join(dir, outDir, buildsName), answer))
}

// copyWheel copies the wheel, for uv wants it under its own name.
func (st Staging) copyWheel(dir string) (path string, err error) {
	if filepath.Base(st.Wheel.File) != st.Wheel.File || !filepath.IsLocal(st.Wheel.File) {
		return "", fmt.Errorf("%q is no file name", st.Wheel.File)
	}
	path = filepath.Join(dir, "wheel", st.Wheel.File)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	info, err := st.File.Stat()
	if err == nil {
		_, err = io.Copy(f, io.NewSectionReader(st.File, 0, info.Size()))
	}
	return path, errors.Join(err, f.Close())
}

// stageDirs are what a directory has in which a wheel is installed.
var stageDirs = []string{"root", tempDir, "cache", outDir, "bin", "wheel"}

// installInto runs uv.
func (r *Resolver) installInto(ctx context.Context, uv UV, dir, python, wheel string) error {
	at, err := r.cells(ctx, true)
	if err != nil {
		return err
	}
	at.needs.Read = []string{dir, uv.Path}
	for _, name := range []string{"root", tempDir, outDir} {
		at.needs.Write = append(at.needs.Write, filepath.Join(dir, name))
	}
	at.own = func(context.Context, *index.Set) (*index.Set, error) { return nil, nil }
	cache := filepath.Join(dir, "cache")
	env := pick(r.Env, uvEnv(), "UV_CACHE_DIR="+cache, "TMPDIR="+filepath.Join(dir, tempDir),
		"NO_COLOR=1", "UV_NO_PROGRESS=1", "UV_NO_CONFIG=1", "UV_PYTHON_DOWNLOADS=never", "UV_NO_INSTALLER_METADATA=1")
	if err := at.enter(ctx, nil, Group{}, links{}, cache, env, nil); err != nil {
		return err
	}
	defer at.leave()
	log := &logWriter{keep: relevant}
	exit, err := at.Run(ctx, Command{
		Path: uv.Path,
		Args: []string{
			"pip", "install", "--quiet", "--offline", "--no-index", "--no-deps", "--no-build", "--break-system-packages",
			"--link-mode", "copy", "--python", python, wheel,
		},
		Dir: dir, Env: at.Env(), Stdout: log, Stderr: log,
	})
	if err != nil {
		return err
	}
	if exit == 0 {
		return nil
	}
	report := parseReport(reqfile.Redact(strings.ReplaceAll(log.String(), dir+string(filepath.Separator), "")))
	said := sentence(strings.Join(append([]string{report.headline}, report.causes...), ": "))
	return fmt.Errorf("uv %s refuses it: %s", uv.Version, cmp.Or(said, "it doesn't say why"))
}
