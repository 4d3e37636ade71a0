// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"

	"inlay/cache"
	"inlay/resolve"
	"inlay/resolve/recipe"
	"inlay/resolve/tree"
)

// openRecipe opens the context of the Dockerfile, if there is one.
func (j *job) openRecipe() (err error) {
	j.args = map[string]string{}
	for _, kv := range j.settings.Recipe.Args {
		name, value, _ := strings.Cut(kv, "=")
		j.args[name] = value
	}
	if j.settings.Recipe.Dockerfile == "" || j.settings.Recipe.Root == "" {
		return nil
	}
	if j.recipe, err = tree.Open(j.recipeRoot()); err != nil {
		return j.settings.FieldError("build_context_root", err.Error(), "name a directory by its path in the context")
	}
	return nil
}

// recipeRoot is the directory of the Dockerfile's context.
func (j *job) recipeRoot() string {
	root := j.settings.Recipe.Root
	if filepath.IsAbs(root) {
		return root
	}
	return filepath.Join(j.context, root)
}

// dockerfile is what is at hand for the Dockerfile of the settings.
func (j *job) dockerfile() resolve.Dockerfile {
	d := resolve.Dockerfile{Machine: "linux/" + runtime.GOARCH, Values: j.args}
	if j.recipe != nil {
		d.Context, d.Written = j.recipe, inDir(j.recipeRoot(), j.writes())
		d.Digests = &tree.Cache{Store: values(j.site.cache, cache.Inventories), Name: filesName(j.recipeRoot()), Now: j.begun}
	}
	return d
}

// contexts are those of files beside the build's own.
func (j *job) contexts() map[string]fs.FS {
	if j.recipe == nil {
		return nil
	}
	return map[string]fs.FS{recipe.Context: j.recipe}
}
