// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"strings"

	"inlay/layers/pattern"
)

// A setting is one field with the value it is given.
type setting struct {
	*value
	field *field
	path  string
}

// errorf reports a value that the field does not take.
func (s setting) errorf(format string, args ...any) *FieldError {
	_, name := cutLast(s.field.Name)
	if name == "*" {
		_, name = cutLast(s.path)
	}
	example := cmp.Or(s.field.Example, s.field.Default)
	return s.fault(s.path, fmt.Sprintf(format, args...), fmt.Sprintf("write, for example, `%s: %s`", name, example))
}

func (s setting) wrongType() *FieldError {
	return s.errorf("want a %s, got %s", s.field.Type, s.describe())
}

// shown returns a scalar for a message: as written, so that the value of a
// variable, which may be a secret, is not in it.
func (s setting) shown() string {
	const enough = 80
	if len(s.raw) > enough {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(s.raw[:enough], ""))
	}
	return fmt.Sprintf("%q", s.raw)
}

// item returns the i-th entry as a setting of its own.
func (s setting) item(i int) setting {
	at := fmt.Sprintf("%s[%d]", s.path, i)
	if s.kind == mapping {
		at = join(s.path, s.keys[i].raw)
	}
	return setting{value: s.items[i], field: s.field, path: at}
}

var (
	// secret matches a reference to ZenML's secret store.
	secret  = pattern.New(`^\s*\{\{\s*([^\s.]+)\.(\S+?)\s*\}\}\s*$`)
	notName = pattern.New(`[^A-Z0-9]+`)
	version = pattern.New(`^\d+(\.\d+)*$`)
)

// scalar returns the text of a scalar; want names its type in messages.
func (s setting) scalar(want string) (string, error) {
	if s.kind != scalar {
		return "", s.errorf("want a %s, got %s", want, s.describe())
	}
	if !strings.Contains(s.text, "{{") { // hardly any has
		return s.text, nil
	}
	if m := secret().FindStringSubmatch(s.text); m != nil {
		name := notName().ReplaceAllString(strings.ToUpper(m[1]+"_"+m[2]), "_")
		return "", s.fault(s.path, "a reference to a ZenML secret, and there is no ZenML server to ask",
			fmt.Sprintf("write `${%s}` here and run `export %s=…` first", name, name))
	}
	return s.text, nil
}

func (s setting) strings() ([]string, error) {
	all := make([]string, 0, len(s.items))
	for i := range s.items {
		text, err := s.item(i).scalar("string")
		if err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, nil
}

// A rule refuses a text with a reason that completes "“text” …".
type rule func(string) string

func matches(re func() *regexp.Regexp, reason string) rule {
	return func(s string) string {
		if re().MatchString(s) {
			return ""
		}
		return reason
	}
}

const repository = `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`

// The grammars of names are those of the OCI distribution specification.
var (
	isTag        = matches(pattern.New(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`), "is not a tag: letters, digits, _ . - and at most 128 of them")
	isRepository = matches(pattern.New(`^`+repository+`$`), "is not a repository: lower case words between / without a registry")
	isRegistry   = matches(pattern.New(`^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]+)?(/`+repository+`)?/*$`), "is not a registry: a host, perhaps with a port and a path, without a scheme")
	isUser       = matches(pattern.New(`^[^:\s/]+(:[^:\s/]+)?$`), "is not a user: a name or a number, perhaps with :group")
	isAbsolute   = matches(pattern.New(`^/`), "is not an absolute path")
	isPlatform   = matches(pattern.New(`^linux/[a-z0-9_]+(/[a-z0-9]+)?$`), "is not a platform: linux/ARCHITECTURE, perhaps with /VARIANT")
)

// text reads a string into where dst points; an empty one counts as not given.
func text(dst func(*loader) *string, check rule) func(*loader, setting) error {
	return func(l *loader, s setting) error {
		t, err := s.scalar(s.field.Type)
		if err != nil {
			return err
		}
		if t != "" && check != nil {
			if reason := check(t); reason != "" {
				return s.errorf("%s %s", s.shown(), reason)
			}
		}
		*dst(l) = t
		return nil
	}
}

// cleanPath reads an absolute path of the image.
func cleanPath(dst func(*loader) *string) func(*loader, setting) error {
	read := text(dst, isAbsolute)
	return func(l *loader, s setting) error {
		err := read(l, s)
		if p := dst(l); err == nil && *p != "" {
			*p = path.Clean(*p)
		}
		return err
	}
}

// requirements reads a list of requirements or the path of a file of them.
func requirements(l *loader, s setting) (err error) {
	d := l.docker
	d.Requirements, d.RequirementsFile = nil, ""
	if s.kind != list {
		d.RequirementsFile, err = s.scalar(s.field.Type)
		if err == nil && strings.Contains(d.RequirementsFile, "\n") {
			return s.fault(s.path, "a path of several lines", "write a list: `- ` before each requirement, and no `|` or `>`")
		}
		return err
	}
	d.Requirements, err = s.strings()
	if len(d.Requirements) == 0 {
		d.Requirements = nil // an empty list is none at all
	}
	for i := range s.items {
		at := s.item(i)
		d.at[at.path] = at.position
	}
	return err
}

// lockFile reads where the lock file is, or that none counts.
func lockFile(l *loader, s setting) error {
	t, err := s.scalar("path of a file, or false")
	if err != nil {
		return err
	}
	if t == "true" || t == "" {
		return s.errorf("want the path of a file or false, got %s", s.describe())
	}
	l.docker.Lock, l.docker.NoLock = t, false
	if t == "false" {
		l.docker.Lock, l.docker.NoLock = "", true
	}
	return nil
}

// python reads where the parent's interpreter is.
func python(l *loader, s setting) error {
	t, err := s.scalar(s.field.Type)
	switch {
	case err != nil:
		return err
	case version().MatchString(t):
		return s.errorf("a version is not supported yet: the interpreter is the parent's")
	default:
		return cleanPath(func(l *loader) *string { return &l.docker.Python })(l, s)
	}
}

// variables reads environment variables in their order.
func variables(dst func(*Docker) *[]string) func(*loader, setting) error {
	return func(l *loader, s setting) error {
		if s.kind != mapping {
			return s.wrongType()
		}
		for i, key := range s.keys {
			at := s.item(i)
			l.docker.at[at.path] = at.position
			if key.text == "" || strings.Contains(key.text, "=") {
				return setting{key, s.field, s.path}.errorf("%q is not the name of a variable", key.raw)
			}
			t, err := at.scalar("string")
			if err != nil {
				return err
			}
			*dst(l.docker) = append(*dst(l.docker), key.text+"="+t)
		}
		return nil
	}
}

// stringMap reads labels and annotations.
func stringMap(dst func(*loader) *map[string]string) func(*loader, setting) error {
	return func(l *loader, s setting) error {
		if s.kind != mapping {
			return s.wrongType()
		}
		m := map[string]string{}
		for i, key := range s.keys {
			at := s.item(i)
			if key.text == "" {
				return setting{key, s.field, s.path}.errorf("an empty key")
			}
			t, err := at.scalar("string")
			if err != nil {
				return err
			}
			m[key.text] = t
		}
		if len(m) > 0 {
			*dst(l) = m
		}
		return nil
	}
}

// command reads a command: its words, or a line for the shell as Docker has it.
func command(dst func(*Docker) *[]string) func(*loader, setting) error {
	return func(l *loader, s setting) error {
		if s.kind == list {
			words, err := s.strings()
			*dst(l.docker) = words
			return err
		}
		line, err := s.scalar(s.field.Type)
		if err == nil && line == "" {
			return s.fault(s.path, "an empty command", "write `[]` for none at all")
		}
		*dst(l.docker) = []string{"/bin/sh", "-c", line}
		return err
	}
}

// boolean reads what ZenML takes for true and false, quoted or not.
func (s setting) boolean() (bool, error) {
	t, err := s.scalar(s.field.Type)
	if err != nil {
		return false, err
	}
	switch strings.ToLower(t) {
	case "true", "yes", "on", "y", "t", "1":
		return true, nil
	case "false", "no", "off", "n", "f", "0":
		return false, nil
	}
	return false, s.wrongType()
}

func skipBuild(l *loader, s setting) (err error) {
	l.docker.SkipBuild, err = s.boolean()
	return err
}

// noEffect accepts whatever the value is and says why it changes nothing.
func noEffect(l *loader, s setting) error {
	l.warn(s, "no effect: "+s.field.instead)
	return nil
}

func oldDockerignore(l *loader, s setting) error {
	l.warn(s, "deprecated: write it as build_config.dockerignore")
	return text(func(l *loader) *string { return &l.oldIgnore }, nil)(l, s)
}

// registry reads the prefix of the image's name.
func registry(l *loader, s setting) error {
	at := func(l *loader) *string { return &l.docker.Target.Registry }
	err := text(at, isRegistry)(l, s)
	*at(l) = strings.TrimRight(*at(l), "/")
	return err
}

// pipelineName reads the name that a tag is made of.
func pipelineName(l *loader, s setting) error {
	err := text(func(l *loader) *string { return &l.docker.Name }, nil)(l, s)
	if err == nil && l.docker.Name != "" && sanitizeTag(l.docker.Name) == "" {
		return s.errorf("%s holds no letter that a tag may have", s.shown())
	}
	return err
}

// isUUID matches what ZenML calls its builds.
var isUUID = pattern.New(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// namedBuild reads which build is to be taken: one of inlay's.
func namedBuild(l *loader, s setting) error {
	const problem, fix = "a build of ZenML's, which inlay doesn't know", "remove `build`, or name one that `inlay builds list` shows"
	if s.kind == mapping {
		return s.fault(s.path, problem, fix)
	}
	err := text(func(l *loader) *string { return &l.docker.Build }, nil)(l, s)
	if err == nil && isUUID().MatchString(l.docker.Build) {
		return s.fault(s.path, problem, fix)
	}
	return err
}

var notTag = pattern.New(`[^A-Za-z0-9_.-]+`)

// sanitizeTag makes a tag of a name as ZenML does: spec/zenml.md section 3.2.
func sanitizeTag(name string) string {
	tag := notTag().ReplaceAllString(name, "")
	if strings.HasPrefix(tag, ".") || strings.HasPrefix(tag, "-") {
		tag = "_" + tag[1:]
	}
	return tag[:min(len(tag), 128)]
}
