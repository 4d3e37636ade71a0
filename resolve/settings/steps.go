// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// dockerNames are the names of dockerPath.
var dockerNames = strings.Split(dockerPath, ".")

// stepDocker is the mapping of the file that describes the image of a step.
const stepDocker = "steps.*.settings.docker"

// A Run is what a settings file says of a pipeline.
type Run struct {
	Pipeline *Docker // of its own image
	Steps    []Step  // that the file names, in its order
}

// A Step is a step of the pipeline.
type Step struct {
	Name     string
	Docker   *Docker // of its image: the pipeline's settings with the step's over them
	Operator string  // that runs it: a name, "true" for any, or ""

	operatorAt position
}

// OperatorError reports an Operator that there isn't.
func (s Step) OperatorError(problem, fix string) *FieldError {
	return &FieldError{File: s.operatorAt.file, Line: s.operatorAt.line, Field: join("steps."+s.Name, "step_operator"), Problem: problem, Fix: fix}
}

// Same reports whether two settings ask for the same image, whatever it is
// called where nothing names it.
func (d *Docker) Same(other *Docker) bool { return d.question() == other.question() }

// Called returns the settings of another image of the pipeline with the same
// contents, whose builds ZenML calls key.
func (d *Docker) Called(key string) *Docker {
	out := *d
	if _, given := d.at[dockerPath+".image_tag"]; !given {
		out.Target.Tag = madeTag(d.Name, d.step, key)
		out.Target.Repository = cmp.Or(d.Target.Repository, defaultRepository)
	}
	return &out
}

// With returns the settings with more Debian packages, those that they don't
// have already.
func (d *Docker) With(packages []string) *Docker {
	out := *d
	out.Apt.Packages = slices.Clone(d.Apt.Packages)
	for _, p := range packages {
		if !slices.Contains(out.Apt.Packages, p) {
			out.Apt.Packages = append(out.Apt.Packages, p)
		}
	}
	return &out
}

// In returns the settings of an image that goes to a registry, and there into a
// repository, unless they name others.
func (d *Docker) In(registry, repository string) *Docker {
	out := *d
	t := &out.Target
	if t.Registry == "" {
		t.Registry = registry
	}
	if _, given := d.at[dockerPath+".target_repository"]; !given && repository != "" {
		t.Repository = repository
	}
	if *t != (Target{}) && t.Repository == "" {
		t.Repository = defaultRepository
	}
	return &out
}

// TargetProblem says what is wrong with a registry and a repository that something
// else than the settings names, "" if nothing is. Either may be "".
func TargetProblem(registry, repository string) string {
	for _, x := range []struct {
		name  string
		check rule
	}{{registry, isRegistry}, {repository, isRepository}} {
		if x.name == "" {
			continue
		}
		if reason := x.check(x.name); reason != "" {
			return fmt.Sprintf("%q %s", x.name, reason)
		}
	}
	return ""
}

func (d *Docker) question() string {
	q := *d
	q.NoReuse = false // it changes no image
	if _, given := d.at[dockerPath+".image_tag"]; !given {
		q.Target.Tag = ""
	}
	if _, given := d.at[dockerPath+".target_repository"]; !given {
		q.Target.Repository = ""
	}
	b, err := json.Marshal(q)
	if err != nil {
		return fmt.Sprintf("%p", d) // texts, lists and mappings of them always can
	}
	return string(b)
}

// LoadRun reads the settings in r, which messages call name. There are three
// levels: the pipeline's settings, over them those of a step, and over both the
// overrides. Scalars and lists replace, mappings merge, and a null of a step
// changes nothing: spec/zenml.md section 6. A nil r is a file that says
// nothing. A mistake in the settings is a *FieldError; the warnings name fields
// that are accepted but change nothing.
func LoadRun(name string, r io.Reader, o Options) (*Run, []Warning, error) {
	root, err := document(name, r, o)
	if err != nil {
		return nil, nil, err
	}
	flags, err := override(root, o)
	if err != nil {
		return nil, nil, err
	}
	l := newLoader(name)
	for _, level := range []*value{root, flags} {
		w, err := level.at(dockerNames...).migrate()
		if err != nil {
			return nil, nil, err
		}
		l.warnings = append(l.warnings, w...)
	}
	all := levels{root: root, file: root.at(dockerNames...).clone(), flags: flags}
	if err := merge(root, flags.clone(), ""); err != nil {
		return nil, nil, err
	}
	if err := l.load(root); err != nil {
		return nil, nil, err
	}
	run := &Run{Pipeline: l.docker}
	warnings, err := run.steps(name, all, l.warnings)
	return run, warnings, err
}

// document returns what the file says.
func document(name string, r io.Reader, o Options) (*value, error) {
	root := &value{position: position{file: name}, kind: mapping}
	if r != nil {
		v, err := newParser(name, o.Lookup).document(r)
		if err != nil {
			return nil, err
		}
		if v.kind != null {
			root = v
		}
	}
	if root.kind != mapping {
		return nil, root.fault("", "want a mapping, got "+root.describe(), "begin the file with `settings:`")
	}
	return root, nil
}

// The levels of settings, weakest first; those of steps are in root.
type levels struct {
	root  *value // the whole file
	file  *value // its settings.docker; nil if it has none
	flags *value // what flags say, as a file
}

// steps reads the steps, whose mapping is known to be well formed, and adds to
// the warnings those that only they cause.
func (run *Run) steps(name string, all levels, warnings []Warning) ([]Warning, error) {
	steps := all.root.at("steps")
	if steps == nil {
		return warnings, nil
	}
	for i, key := range steps.keys {
		of, migrated, err := all.of(key.text, steps.items[i])
		if err != nil {
			return nil, err
		}
		l := newLoader(name)
		l.warnings = migrated
		l.step = key.text
		if err := l.load(of); err != nil {
			return nil, err
		}
		for _, w := range append(l.warnings, lostArguments(key.text, steps.items[i])...) {
			if !slices.Contains(warnings, w) {
				warnings = append(warnings, w)
			}
		}
		s := Step{Name: key.text, Docker: l.docker}
		if op := steps.items[i].at("step_operator"); op != nil {
			s.Operator, s.operatorAt = operator(op.text), op.position
		}
		run.Steps = append(run.Steps, s)
	}
	return warnings, nil
}

// lostArguments tells of arguments of the installer that are null in a step's
// settings: ZenML loses them on the way.
func lostArguments(step string, v *value) (lost []Warning) {
	args := v.at("settings", "docker", "python_package_installer_args").clone()
	args.mark(step)
	for i := 0; args != nil && args.kind == mapping && i < len(args.keys); i++ {
		if args.items[i].kind == null {
			key := args.keys[i]
			lost = append(lost, Warning{
				File: key.file, Line: key.line, Field: key.pathOf(join(argumentsPath, key.raw)),
				Text: fmt.Sprintf("no effect: a null of a step changes nothing; write `%s: true`, or put it into the pipeline's settings", key.raw),
			})
		}
	}
	return lost
}

func operator(text string) string {
	switch strings.ToLower(text) { // as YAML 1.1 has it, which is ZenML's
	case "false", "no", "off":
		return ""
	case "true", "yes", "on":
		return "true"
	}
	return text
}

// of returns the file as if the settings of a step's image were the pipeline's.
func (a levels) of(step string, v *value) (*value, []Warning, error) {
	docker := a.file.clone()
	if docker == nil {
		docker = &value{kind: mapping, position: a.root.position}
	}
	own := v.at("settings", "docker").given()
	own.mark(step)
	if err := own.checkLevel(); err != nil {
		return nil, nil, err
	}
	warnings, err := own.migrate()
	if err != nil {
		return nil, nil, err
	}
	for _, over := range []*value{own, a.flags.at(dockerNames...).clone()} {
		if over == nil {
			continue
		}
		if err := merge(docker, over, dockerPath); err != nil {
			return nil, nil, err
		}
	}
	root := &value{kind: mapping, position: a.root.position}
	for i, key := range a.root.keys {
		if key.text != "settings" && key.text != "steps" {
			root.add(key, a.root.items[i])
		}
	}
	return root, warnings, merge(root, nest(dockerNames, docker), "")
}

// given returns a copy without what is null: in a step's settings that changes
// nothing.
func (v *value) given() *value {
	if v == nil || v.kind != mapping {
		return v.clone()
	}
	out := *v
	out.keys, out.items = nil, nil
	for i, key := range v.keys {
		if v.items[i].kind != null {
			out.add(key.clone(), v.items[i].given())
		}
	}
	return &out
}

// mark says of all that v holds whose settings it is.
func (v *value) mark(step string) {
	if v == nil {
		return
	}
	v.step = step
	for _, k := range v.keys {
		k.mark(step)
	}
	for _, item := range v.items {
		item.mark(step)
	}
}

// checkLevel checks what a step's settings must hold by themselves: so does
// ZenML, before it puts them over the pipeline's.
func (v *value) checkLevel() error {
	skip := v.at("skip_build")
	if skip == nil || v.at("parent_image") != nil {
		return nil
	}
	s := setting{value: skip, field: byName()[dockerPath+".skip_build"], path: dockerPath + ".skip_build"}
	if on, err := s.boolean(); err != nil || !on {
		return err
	}
	return s.fault(s.path, "parent_image is missing beside it, and the pipeline's doesn't count here",
		"add `parent_image:` to the settings of the step, or remove `skip_build`")
}

// ofStep checks that the settings of a step are a mapping; they are read once
// the pipeline's are.
func ofStep(_ *loader, s setting) error {
	if s.kind != mapping {
		return s.wrongType()
	}
	return nil
}

func stepOperator(_ *loader, s setting) error {
	_, err := s.scalar(s.field.Type)
	return err
}
