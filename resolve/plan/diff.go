// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// ParentChanged is what Diff says when nothing else changed.
const ParentChanged = "the parent's directories changed"

// Diff says for each step of now why its layer isn't one that old had: what
// changed, in words, most telling first. It is nil for a step whose key old
// has too, and never empty otherwise.
func Diff(old, now Stage) [][]string { return diff([]Stage{old}, now) }

// Since is Diff for all stages of p, one after the other.
func (p Plan) Since(old Plan) (out [][]string) {
	old = old.Veiled()
	for _, s := range p.Stages {
		out = append(out, diff(old.Stages, s.veiled())...)
	}
	return out
}

func diff(before []Stage, now Stage) [][]string {
	var old Stage // all steps
	had := make(map[Key]bool)
	for _, s := range before {
		old.Steps = append(old.Steps, s.Steps...)
		for _, k := range s.Keys() {
			had[k] = true
		}
	}
	out := make([][]string, len(now.Steps))
	for i, k := range now.Keys() {
		if had[k] {
			continue
		}
		out[i] = now.Steps[i].since(old)
		if len(out[i]) == 0 && !compressed(old, now.Steps[i].Compression) {
			out[i] = []string{"compression changed to " + cmp.Or(now.Steps[i].Compression, "gzip")}
		}
		if len(out[i]) == 0 && now.Steps[i].Run != nil {
			out[i] = []string{"a layer below it changed"}
		}
		if len(out[i]) == 0 {
			out[i] = []string{ParentChanged}
		}
	}
	return out
}

// compressed reports whether old has a layer compressed that way.
func compressed(old Stage, how string) bool {
	return slices.ContainsFunc(old.Steps, func(s Step) bool { return s.Compression == how })
}

// Around says what else of now isn't old's: layers that are gone, the parent, the
// time and the configuration, which change an image whose layers are all there.
func Around(old, now Plan) []string {
	old, now = old.Veiled(), now.Veiled()
	out := gone(old.chained(), now.chained())
	if before := old.Parent(); before.Digest != now.Parent().Digest {
		out = append(out, "the parent, which was "+before.Image)
	}
	if old.Platform != now.Platform {
		out = append(out, "platform "+old.Platform+" → "+now.Platform)
	}
	if old.OCI != now.OCI {
		out = append(out, "the format, which is OCI's only for several platforms")
	}
	if old.Created != now.Created {
		out = append(out, "the time of the image (SOURCE_DATE_EPOCH)")
	}
	was, is := old.configs(), now.configs()
	for i := range max(len(was), len(is)) {
		var before, after Config
		if i < len(was) {
			before = was[i]
		}
		if i < len(is) {
			after = is[i]
		}
		for _, what := range after.since(before) {
			if !slices.Contains(out, what) {
				out = append(out, what)
			}
		}
	}
	return out
}

// chained returns a stage with the steps of all that the image stands on.
func (p Plan) chained() (all Stage) {
	for _, i := range p.Chain() {
		all.Steps = append(all.Steps, p.Stages[i].Steps...)
	}
	return all
}

// configs returns the configurations that the image stands on, its own first.
func (p Plan) configs() (all []Config) {
	for _, i := range slices.Backward(p.Chain()) {
		all = append(all, p.Stages[i].Config)
	}
	return all
}

// gone says which layers of old now lacks, if it has no others: those that it has
// beside are told of for themselves.
func gone(old, now Stage) (out []string) {
	had, has := old.Keys(), now.Keys()
	if slices.ContainsFunc(has, func(k Key) bool { return !slices.Contains(had, k) }) {
		return nil
	}
	for i, k := range had {
		if !slices.Contains(has, k) {
			out = append(out, "no layer of "+old.Steps[i].Name)
		}
	}
	if len(out) == 0 && !slices.Equal(had, has) {
		out = append(out, "the order of the layers")
	}
	return out
}

// since names what differs, without the values: some are long.
func (c Config) since(old Config) []string {
	var out []string
	add := func(what string, same bool) {
		if !same {
			out = append(out, what)
		}
	}
	add("environment", slices.Equal(old.Env, c.Env))
	add("user", old.User == c.User)
	add("workdir", old.WorkDir == c.WorkDir)
	add("entrypoint", sameCommand(old.Entrypoint, c.Entrypoint))
	add("cmd", sameCommand(old.Cmd, c.Cmd))
	add("exposed_ports", slices.Equal(old.Ports, c.Ports))
	add("volumes", slices.Equal(old.Volumes, c.Volumes))
	add("shell", slices.Equal(old.Shell, c.Shell))
	add("stop_signal", old.StopSignal == c.StopSignal)
	add("healthcheck", reflect.DeepEqual(old.Healthcheck, c.Healthcheck))
	add("labels", maps.Equal(old.Labels, c.Labels))
	add("annotations", maps.Equal(asked(old.Annotations), asked(c.Annotations)))
	return out
}

// sameCommand tells no command, [], from the parent's, nil.
func sameCommand(a, b []string) bool { return slices.Equal(a, b) && (a == nil) == (b == nil) }

// asked returns the annotations without those that go with the parent.
func asked(annotations map[string]string) map[string]string {
	out := maps.Clone(annotations)
	maps.DeleteFunc(out, func(k, _ string) bool { return strings.HasPrefix(k, "org.opencontainers.image.base.") })
	return out
}

// since compares with the step of the same name before others.
func (s Step) since(old Stage) []string {
	old.Steps = slices.Clone(old.Steps)
	slices.SortStableFunc(old.Steps, func(a, b Step) int {
		switch {
		case a.Name == s.Name && b.Name != s.Name:
			return -1
		case a.Name != s.Name && b.Name == s.Name:
			return 1
		default:
			return 0
		}
	})
	switch {
	case s.Remove != nil:
		return s.Remove.since(old)
	case s.Apt != nil:
		return s.Apt.since(old)
	case s.Python != nil:
		return s.Python.since(old)
	case s.Bytecode != nil:
		return s.Bytecode.since(old)
	case s.Files != nil:
		return s.Files.since(old)
	case s.Run != nil:
		return s.Run.since(old)
	}
	return nil
}

func (r *Remove) since(old Stage) []string {
	for _, o := range old.Steps {
		if o.Remove != nil {
			return setDiff(o.Remove.Paths, r.Paths)
		}
	}
	return []string{"new"}
}

// since compares with every Python step of old, because wheels move between
// layers when their size does.
func (p *Python) since(old Stage) []string {
	had := make(map[string]Wheel)
	var near *Python // the old step that this one replaces
	for _, o := range old.Steps {
		if o.Python == nil {
			continue
		}
		for _, w := range o.Python.Wheels {
			had[w.Name] = w
			if near == nil && p.wheel(w.Name) {
				near = o.Python
			}
		}
	}
	if len(had) == 0 {
		return []string{"new"}
	}
	out := wheelDiff(had, p.Wheels)
	if near == nil {
		return out
	}
	for _, w := range near.Wheels {
		if !p.wheel(w.Name) {
			out = append(out, w.Name+" "+w.Version+" left")
		}
	}
	if near.Scheme != p.Scheme {
		out = append(out, "the parent's Python moved to "+p.Scheme.Interpreter)
	}
	return out
}

// wheelDiff says which wheels are not the ones of that name there were.
func wheelDiff(had map[string]Wheel, now []Wheel) (out []string) {
	for _, w := range now {
		o, ok := had[w.Name]
		switch {
		case !ok:
			out = append(out, w.Name+" "+w.Version+" added")
		case o.Version != w.Version:
			out = append(out, w.Name+" "+o.Version+" → "+w.Version)
		case o.Digest != w.Digest:
			out = append(out, w.Name+" "+w.Version+" is another file")
		}
	}
	return out
}

func (p *Python) wheel(name string) bool {
	return slices.ContainsFunc(p.Wheels, func(w Wheel) bool { return w.Name == name })
}

func (f *Files) since(old Stage) []string {
	for _, o := range old.Steps {
		if o.Files == nil || o.Files.Target != f.Target {
			continue
		}
		out := fileDiff(o.Files.Files, f.Files)
		if o.Files.UID != f.UID || o.Files.GID != f.GID {
			out = append(out, fmt.Sprintf("owner %d:%d → %d:%d", o.Files.UID, o.Files.GID, f.UID, f.GID))
		}
		if o.Files.ModTime != f.ModTime {
			out = append(out, "the time of the files changed (SOURCE_DATE_EPOCH)")
		}
		return out
	}
	return []string{"new"}
}

func fileDiff(old, now []File) []string {
	had := make(map[string]File, len(old))
	for _, f := range old {
		f.Source = ""
		had[f.Path] = f
	}
	var out []string
	for _, f := range now {
		f.Source = ""
		o, ok := had[f.Path]
		switch {
		case !ok:
			out = append(out, f.Path+" added")
		case o != f:
			out = append(out, f.Path+" changed")
		}
		delete(had, f.Path)
	}
	for _, path := range slices.Sorted(maps.Keys(had)) {
		out = append(out, path+" removed")
	}
	return out
}

func setDiff(old, now []string) []string {
	var out []string
	for _, p := range now {
		if !slices.Contains(old, p) {
			out = append(out, p+" goes too")
		}
	}
	for _, p := range old {
		if !slices.Contains(now, p) {
			out = append(out, p+" stays")
		}
	}
	return out
}
