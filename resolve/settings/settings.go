// SPDX-License-Identifier: Apache-2.0

// Package settings reads the YAML settings of an image: ZenML's DockerSettings
// with a few fields of inlay's own. Whatever it returns is complete and
// checked: a field is honoured, reported as without effect, or refused with
// its file, line and name, and never dropped in silence.
package settings

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// dockerPath is the mapping of the file that describes one image.
const dockerPath = "settings.docker"

// Docker holds the settings of one image after reading, substitution and
// overrides. A zero field is one that nobody set.
type Docker struct {
	ParentImage string // as written, with its transport; resolve/parent reads it

	Local        Local    // what this machine's Python has is installed first
	Integrations []string // of ZenML, whose requirements come before the project's
	Stack        string   // path of the file that describes the stack
	Catalog      string   // path of a file of integrations
	NoStack      bool     // what the stack requires is left out
	NoDeployment bool     // what a deployer requires is left out

	Requirements     []string // requirement lines, in order
	RequirementsFile string   // path of a requirements file, in place of Requirements
	Pyproject        string   // path of a pyproject.toml, whose dependencies come before them
	PyprojectCommand []string // words of the shell's command that exports it; nil: the default
	Detection        Detection
	InstallerArgs    []InstallerArg
	Installer        string // that resolves requirements: "uv" or "pip"; "" is uv
	Python           string // absolute path of the parent's interpreter
	Indexes          []Index
	Apt              Apt
	KeepSecrets      bool // credentials in Environment and RuntimeEnvironment stay in the image

	Environment        []string // "NAME=value" in the file's order
	RuntimeEnvironment []string // the same, set after Environment

	User       string            // name, uid, name:group or uid:gid
	WorkDir    string            // absolute and clean; "" is /app
	Entrypoint []string          // nil: the parent's; empty: none
	Cmd        []string          // nil: the parent's; empty: none
	Labels     map[string]string // build_options.labels, then labels over them

	Annotations map[string]string

	Ports       []string // "8080/tcp", sorted
	Volumes     []string // sorted
	StopSignal  string
	Healthcheck *Healthcheck

	NoReuse bool   // no image of an earlier build is taken
	Build   string // an earlier build whose images are taken: an ID or a file
	Name    string // of the pipeline

	Pull      bool     // the parent is to be looked up anew
	NoCache   bool     // every layer is made anew
	BuildArgs []string // "NAME=value": variables of the installer alone
	NoSource  bool     // the source is not put into the image
	// The source is not downloaded from a code repository, or an artifact store.
	NoRepository, NoStore bool
	ZenML                 string // version of the ZenML whose image is the default parent

	InstallCommand string // of the shell, that installs the source in the image; "" is none

	Recipe Recipe // the Dockerfile whose image is the parent

	Dockerignore string   // path of an ignore file that must exist
	Platform     string   // "linux/arch" or "linux/arch/variant"
	Platforms    []string // several of them, in the order of the settings, for an index of images; Platform is "" then
	Target       Target   // zero if the settings name none
	Bytecode     bool     // the modules of wheels are compiled, as unchecked-hash
	Compression  string   // of new layers: "gzip" or "zstd"; "" is gzip
	SkipBuild    bool     // the image is ParentImage as it is
	Lock         string   // path of the lock file; "" is inlay.lock, if there is one
	NoLock       bool     // no lock file counts

	file string
	step string // whose image it is, "" for the pipeline's
	at   map[string]position
}

// An InstallerArg is an argument of the installer, as it is written.
type InstallerArg struct {
	Name   string // without dashes
	Values []string
	Null   bool // it has none
}

// Local says how the packages of this machine's Python are listed: not at all,
// in one of ZenML's ways, or by a command.
type Local struct {
	Way     string   // "pip_freeze", "uv_freeze" or "poetry_export"; "" for none or a command
	Command []string // words of the shell's command that lists them
}

// Detection says whether requirements are looked for in the source where the
// settings name none.
type Detection int

// The three answers: nobody asked for it is told what is not installed.
const (
	DetectionUnset Detection = iota
	DetectionOff
	DetectionOn
)

// Target is the name of the image, joined as ZenML joins it.
type Target struct {
	Registry   string // host, perhaps with a port and a path; "" if none is given
	Repository string // "zenml" unless target_repository says otherwise
	Tag        string // "" if neither image_tag nor name is given
}

// String returns the reference that the parts make: "registry/repository:tag".
func (t Target) String() string {
	s := t.Repository
	if t.Registry != "" {
		s = t.Registry + "/" + s
	}
	if t.Tag != "" {
		s += ":" + t.Tag
	}
	return s
}

// FieldError returns an error about a field that turns out wrong after
// loading, such as a file that does not exist. The field is named as below
// settings.docker, with an item's index or a mapping's key if one is meant:
// "user", "requirements[2]", "environment.HOME".
func (d *Docker) FieldError(field, problem, fix string) *FieldError {
	e := &FieldError{File: d.file, Field: dockerPath + "." + field, Problem: problem, Fix: fix}
	for path := e.Field; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
		if p, ok := d.at[path]; ok {
			e.File, e.Line, e.Field = p.file, p.line, p.pathOf(e.Field)
			break
		}
	}
	return e
}

// TopError is FieldError for a field at the top of the file.
func (d *Docker) TopError(field, problem, fix string) *FieldError {
	p := d.at[field]
	return &FieldError{File: cmp.Or(p.file, d.file), Line: p.line, Field: field, Problem: problem, Fix: fix}
}

// ByFlag reports whether a flag of the command line gave the field, named as in
// FieldError.
func (d *Docker) ByFlag(field string) bool {
	return strings.HasPrefix(d.at[dockerPath+"."+field].file, "--")
}

// Options say where values come from that are not in the file.
type Options struct {
	// Lookup returns the value of ${NAME}, and whether it is set. Nil knows none.
	Lookup func(name string) (string, bool)
	// Overrides are the flags of the command line, the strongest level.
	Overrides []Override
}

// Load reads the settings of a pipeline's own image: those that LoadRun
// returns.
func Load(name string, r io.Reader, o Options) (*Docker, []Warning, error) {
	run, warnings, err := LoadRun(name, r, o)
	if err != nil {
		return nil, nil, err
	}
	return run.Pipeline, warnings, nil
}

// A loader fills in a Docker, one field after the other.
type loader struct {
	docker                     *Docker
	warnings                   []Warning
	buildLabels                map[string]string // of build_options
	oldIgnore                  string            // the deprecated dockerignore
	platforms, dockerPlatforms []string          // of the two fields that name them
	recipe                     recipeOptions     // of the Dockerfile's build
	step                       string            // whose image it is, "" for the pipeline's own
}

func newLoader(file string) *loader {
	return &loader{docker: &Docker{file: file, at: map[string]position{}}}
}

// load reads a whole file.
func (l *loader) load(root *value) error {
	if err := l.section("", "", root); err != nil {
		return err
	}
	return l.finish()
}

// section reads the fields of one mapping of the file. The pattern is its
// path with the names of steps replaced by "*".
func (l *loader) section(pattern, path string, v *value) error {
	for i, key := range v.keys {
		f := child(pattern, key.text)
		if f == nil {
			return unknownField(pattern, join(path, key.raw), key)
		}
		if err := l.field(f, join(path, key.text), v.items[i]); err != nil {
			return err
		}
	}
	return nil
}

// field reads one field. A null is a field that is not given: an empty header
// whose lines are commented out is no mistake.
func (l *loader) field(f *field, path string, v *value) error {
	if v.kind == null || f.Status == LeftAlone {
		return nil
	}
	l.docker.at[path] = v.position
	s := setting{value: v, field: f, path: path}
	switch {
	case f.read != nil:
		return f.read(l, s)
	case v.kind != mapping:
		return s.wrongType()
	default:
		return l.section(f.Name, path, v)
	}
}

// warn notes a field that is accepted but changes nothing.
func (l *loader) warn(s setting, text string) {
	l.warnings = append(l.warnings, Warning{File: s.file, Line: s.line, Field: s.pathOf(s.path), Text: text})
}

// finish sets what depends on more than one field.
func (l *loader) finish() error {
	d := l.docker
	if d.Dockerignore == "" {
		d.Dockerignore = l.oldIgnore
	}
	for k, v := range l.buildLabels {
		if d.Labels == nil {
			d.Labels = map[string]string{}
		}
		if _, ok := d.Labels[k]; !ok {
			d.Labels[k] = v
		}
	}
	if d.InstallCommand != "" && d.NoSource {
		return d.FieldError("local_project_install_command", "allow_including_files_in_images is false, so there is no source in the image that it could install",
			"remove one of them")
	}
	if err := l.choosePlatforms(); err != nil {
		return err
	}
	if err := l.finishRecipe(); err != nil {
		return err
	}
	l.target()
	return l.skipBuild()
}

// defaultRepository is where images go that nothing names a repository for.
const defaultRepository = "zenml"

// target completes the name of the image: spec/zenml.md section 3.2. The tag
// is made of the pipeline, the step and the key "orchestrator".
func (l *loader) target() {
	t := &l.docker.Target
	l.docker.step = l.step
	if t.Tag == "" && l.docker.Name+l.step != "" {
		t.Tag = madeTag(l.docker.Name, l.step, "orchestrator")
	}
	if *t != (Target{}) && t.Repository == "" {
		t.Repository = defaultRepository
	}
}

// skipBuild checks what skip_build needs and names what it makes useless.
func (l *loader) skipBuild() error {
	d := l.docker
	if !d.SkipBuild {
		return nil
	}
	if d.ParentImage == "" {
		return d.FieldError("skip_build", "parent_image is missing, and it is the image when nothing is built",
			"add `parent_image:`, or remove `skip_build`")
	}
	var unused []string
	for _, f := range fields() {
		name, inside := strings.CutPrefix(f.Name, dockerPath+".")
		if _, given := d.at[f.Name]; given && inside && f.read != nil && f.Status == Supported &&
			f.Type != "boolean" && name != "parent_image" {
			unused = append(unused, name)
		}
	}
	if len(unused) > 0 {
		at := d.at[dockerPath+".skip_build"]
		l.warnings = append(l.warnings, Warning{
			File: at.file, Line: at.line, Field: at.pathOf(dockerPath + ".skip_build"),
			Text: fmt.Sprintf("the parent image is used as it is, without %s", strings.Join(unused, ", ")),
		})
	}
	return nil
}

// madeTag is the tag of an image that no setting gives one.
func madeTag(words ...string) string {
	words = slices.DeleteFunc(words, func(s string) bool { return s == "" })
	return sanitizeTag(strings.Join(words, "-"))
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
