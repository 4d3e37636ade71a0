// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"inlay/layers"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/source"
)

// target is where the source goes, and the working directory unless the
// settings name another.
const target = "/app"

// maxLayers keeps images below what every engine takes: docker stops at 127.
const maxLayers = 120

// compose orders the steps and sets the configuration.
func compose(req Request, r *Result, files *plan.Files) (plan.Plan, error) {
	out := plan.Plan{Version: plan.Version, Platform: r.Parent.Platform, Created: req.Created, OCI: req.OCI, Stages: slices.Clone(r.stages)}
	if r.bare {
		last := &out.Stages[len(out.Stages)-1]
		last.Config = more(last.Config, config(req, r, nil))
		return out, nil
	}
	stage := plan.Stage{Parent: plan.Parent{Image: r.Parent.Reference, Digest: r.Parent.Digest}}
	if n := len(r.stages); n > 0 {
		stage.Parent.Image = plan.Below(n - 1)
	}
	source, err := sourceStep(req, r.Base, files)
	if err != nil {
		return plan.Plan{}, err
	}
	stage.Steps = aptSteps(req, r.Parent, r.Packages)
	wheels, err := wheelSteps(req, r, maxLayers-len(r.Parent.Layers)-len(stage.Steps)-3) // the removals, the source and its installation take one each
	if err != nil {
		return plan.Plan{}, err
	}
	stage.Steps = append(stage.Steps, wheels...)
	fetch, err := fetchSteps(req, r)
	if err != nil {
		return plan.Plan{}, err
	}
	stage.Steps = append(stage.Steps, fetch...)
	if source != nil {
		stage.Steps = append(stage.Steps, *source)
	}
	env, early := environment(req)
	stage.Steps = append(stage.Steps, installSteps(req, r, files, env[:early])...)
	if req.Settings.Compression == plan.Zstd {
		for i := range stage.Steps {
			stage.Steps[i].Compression = plan.Zstd
		}
	}
	stage.Config = config(req, r, env)
	if stage.Config.WorkDir == "" {
		stage.Config.WorkDir = target
	}
	if req.Code.downloads() {
		stage.Config = fetching(stage.Config, r)
	}
	out.Stages = append(out.Stages, stage)
	return out, nil
}

// wheelSteps install what requirements resolved to, in no more than room layers.
func wheelSteps(req Request, r *Result, room int) ([]plan.Step, error) {
	if r.Resolution == nil {
		return nil, nil
	}
	if !req.Settings.Bytecode {
		return pythonSteps(r.Base, r.Resolution, min(64, room)), nil
	}
	wheels := pythonSteps(r.Base, r.Resolution, min(64, room/2))
	compiled, err := bytecodeSteps(req, r.Base, wheels)
	return append(wheels, compiled...), err
}

// more returns what a Dockerfile says of the configuration with what the settings
// say beside it.
func more(c, s plan.Config) plan.Config {
	if s.Entrypoint != nil {
		c.Entrypoint, c.Cmd = s.Entrypoint, nil
	}
	if s.Cmd != nil {
		c.Cmd = s.Cmd
	}
	labels := maps.Clone(c.Labels)
	if labels == nil && len(s.Labels) > 0 {
		labels = map[string]string{}
	}
	maps.Copy(labels, s.Labels)
	c.Labels, c.Annotations = labels, s.Annotations
	c.Ports, c.Volumes = union(c.Ports, s.Ports), union(c.Volumes, s.Volumes)
	c.StopSignal = cmp.Or(s.StopSignal, c.StopSignal)
	c.Healthcheck = cmp.Or(s.Healthcheck, c.Healthcheck)
	return c
}

// union returns the words of both, sorted, each once.
func union(a, b []string) []string {
	all := slices.Sorted(slices.Values(slices.Concat(a, b)))
	return slices.Compact(all)
}

// pythonSteps returns what is removed of the parent, and the wheels grouped
// into at most room layers.
func pythonSteps(inv *parent.Inventory, r *python.Resolution, room int) []plan.Step {
	var steps []plan.Step
	if len(r.RemovePaths) > 0 {
		steps = append(steps, plan.Step{Name: removalName(r.Remove), Remove: &plan.Remove{Base: inv.Base(r.RemovePaths...), Paths: r.RemovePaths}})
	}
	items := make([]layers.Item, len(r.Wheels))
	for i, w := range r.Wheels {
		items[i] = layers.Item{Name: w.Name, Size: w.Size}
	}
	s := inv.Python.Scheme
	base := inv.Base(s.Purelib, s.Platlib, s.Scripts, s.Data, s.Headers)
	for _, group := range layers.Group(items, room) {
		wheels := make([]plan.Wheel, len(group))
		for i, j := range group {
			wheels[i] = r.Wheels[j]
		}
		steps = append(steps, plan.Step{Name: wheelsName(r, wheels), Python: &plan.Python{Base: base, Scheme: s, Wheels: wheels}})
	}
	return steps
}

func removalName(dists []parent.Dist) string {
	names := make([]string, len(dists))
	for i, d := range dists {
		names[i] = d.Name + " " + d.Version
	}
	return "remove " + list(names)
}

// wheelsName is what the history says of a layer of wheels. It names pip, where
// that chose them, but no version of uv or pip: those may differ from machine
// to machine where the wheels don't.
func wheelsName(r *python.Resolution, ws []plan.Wheel) string {
	names := make([]string, len(ws))
	for i, w := range ws {
		names[i] = w.Name + " " + w.Version
	}
	if strings.HasPrefix(r.Installer, "pip") {
		return list(names) + " (by pip)"
	}
	return list(names)
}

// list joins names, and counts those after the third.
func list(names []string) string {
	if len(names) <= 4 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
}

// defaultMode is that of directories that a plan doesn't list.
const defaultMode = 0o755

// sourceStep copies the source, for the user to own; nil if there is none.
func sourceStep(req Request, inv *parent.Inventory, files *plan.Files) (*plan.Step, error) {
	files.Base = inv.Base(target)
	top := files.Resolve(target) // whose mode matters no more than it shows
	files.Dirs = slices.DeleteFunc(files.Dirs, func(d plan.Dir) bool {
		return d.Path == top && d.Mode|files.Mode == defaultMode|files.Mode
	})
	if user := req.Settings.User; user != "" {
		var err error
		if files.UID, files.GID, err = inv.Account(user); err != nil {
			return nil, req.Settings.FieldError("user", err.Error(), fix(err))
		}
	}
	switch {
	case req.Code.downloads():
		return &plan.Step{Name: "directory of the source", Files: files}, nil // for containers to write to
	case len(files.Files) == 0 && req.Settings.User == "":
		return nil, nil // engines make the working directory, but as root's
	}
	return &plan.Step{Name: "source", Files: files}, nil
}

// installSteps runs the command that installs the source, as root in the
// source's directory. What that leaves there belongs to the source's owner.
func installSteps(req Request, r *Result, source *plan.Files, env []string) []plan.Step {
	const setting = "local_project_install_command"
	if req.Settings.InstallCommand == "" {
		return nil
	}
	run := &plan.Run{
		Parent: treeOf(r.Parent), Command: []string{"/bin/sh", "-c", req.Settings.InstallCommand}, Dir: target,
		Env: over(r.Parent.Config.Config.Env, env), Created: req.Created, Setting: setting,
	}
	if source.UID != 0 || source.GID != 0 {
		run.Own = []plan.Owner{{Path: source.Resolve(target), UID: source.UID, GID: source.GID}}
	}
	// Not the command: a variable of the settings may stand in it, and what the
	// history says stays.
	return []plan.Step{{Name: setting, Run: run}}
}

// over returns the variables of env with those of more, each in place of one of
// its name.
func over(env, more []string) []string {
	out := slices.Clone(env)
	for _, kv := range more {
		name, _, _ := strings.Cut(kv, "=")
		i := slices.IndexFunc(out, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		if i < 0 {
			out = append(out, kv)
			continue
		}
		out[i] = kv
	}
	return out
}

// config is what the settings change of the parent's configuration.
func config(req Request, r *Result, env []string) plan.Config {
	s := req.Settings
	c := plan.Config{
		Env:         env,
		User:        s.User,
		WorkDir:     s.WorkDir,
		Entrypoint:  s.Entrypoint,
		Cmd:         s.Cmd,
		Labels:      s.Labels,
		Ports:       s.Ports,
		Volumes:     s.Volumes,
		StopSignal:  s.StopSignal,
		Annotations: annotations(r.Under),
	}
	if h := s.Healthcheck; h != nil {
		c.Healthcheck = (*plan.Healthcheck)(h)
	}
	maps.Copy(c.Annotations, s.Annotations)
	return c
}

// annotations say what an image is based on.
func annotations(inv *parent.Inventory) map[string]string {
	all := map[string]string{"org.opencontainers.image.base.digest": inv.Digest}
	if name := baseName(inv); name != "" {
		all["org.opencontainers.image.base.name"] = name
	}
	return all
}

// baseName is the parent's name for the annotation: that of an image in a
// registry, since a path of this machine means nothing elsewhere and would
// give other bytes there.
func baseName(inv *parent.Inventory) string {
	ref, err := source.Parse(inv.Name)
	if err != nil || ref.Transport != "docker" {
		return ""
	}
	if ref.Tag == "" {
		return ref.Name
	}
	return ref.Name + ":" + ref.Tag
}
