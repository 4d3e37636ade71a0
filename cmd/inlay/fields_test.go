// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/settings"
)

// TestFieldsInDocs keeps the table of fields in docs/zenml.md what the program
// itself says.
func TestFieldsInDocs(t *testing.T) {
	const (
		name  = "docs/zenml.md"
		begin = "<!-- fields: " + docsBegin
		end   = "<!-- /fields -->"
	)
	before, rest, ok := strings.Cut(read(t, name), begin)
	got, after, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatalf("%s has no place for the fields between %q and %q", name, begin, end)
	}
	want := fieldsTable()
	if *update {
		write(t, name, before+begin+want+end+after)
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the fields in %s are not the program's; run `just golden` (-want +got):\n%s", name, diff)
	}
}

// fieldsTable lists every field that ZenML or inlay gives a meaning.
func fieldsTable() string {
	var b strings.Builder
	b.WriteString("| field | does | example |\n|---|---|---|\n")
	for _, f := range settings.Fields() {
		doc := f.Doc
		switch f.Status {
		case settings.LeftAlone:
			continue
		case settings.NotYet:
			doc = "Not supported yet: " + doc
		case settings.NoEffect:
			doc = "Accepted with a warning: " + doc
		}
		example := ""
		if f.Example != "" {
			example = "`" + strings.ReplaceAll(f.Example, "|", "\\|") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.TrimPrefix(f.Name, "settings.docker."), strings.ReplaceAll(doc, "|", "\\|"), example)
	}
	return b.String()
}

// An effect is what a value of a field does to a plan: it changes it, or it
// changes nothing of it and does what a script shows, or it is an error or
// something to be told, of which this is a part.
type effect struct {
	value   string
	changes bool   // the plan is another one
	says    string // on standard error
	script  string // that shows what else it does, or the path of another test
	beside  string // flags that must be given too
}

// fieldEffects has a line for every field that does something: a new one
// without a line fails the test. Names are as for --set.
var fieldEffects = map[string]effect{
	"parent_image":                       {value: "oci:other", changes: true},
	"requirements":                       {value: "[six]", says: `parent image "oci:parent" can't take requirements`},
	"python":                             {value: "/usr/bin/python4", says: `parent image "oci:parent" can't take requirements`, beside: "-r six"},
	"environment":                        {value: "{A: b}", changes: true},
	"runtime_environment":                {value: "{A: b}", changes: true},
	"user":                               {value: `"1000"`, changes: true},
	"workdir":                            {value: "/srv", changes: true},
	"entrypoint":                         {value: "[run]", changes: true},
	"cmd":                                {value: "[run]", changes: true},
	"local_project_install_command":      {value: "make install", changes: true},
	"labels":                             {value: "{a: b}", changes: true},
	"annotations":                        {value: "{a: b}", changes: true},
	"replicate_local_python_environment": {value: "[echo, six]", says: `can't take requirements`},
	"install_stack_requirements":         {value: "false", changes: false, script: "stack"},
	"install_deployment_requirements":    {value: "false", changes: false, script: "stack"},
	"required_integrations":              {value: "[sklearn]", says: `can't take requirements`},
	"pyproject_path":                     {value: "lost.toml", says: "there is no file lost.toml"},
	"pyproject_export_command":           {value: "[echo, six]", says: `can't take requirements`, beside: "--pyproject src/pyproject.toml"},
	"disable_automatic_requirements_detection": {value: "false", says: "the requirements are those of pyproject.toml"},
	"python_package_installer":                 {value: "pip", says: `can't take requirements`, beside: "-r six"},
	"python_package_installer_args":            {value: "{no-such: 1}", says: "python_package_installer_args.no-such"},
	"indexes":                                  {value: "[{url: 'https://a.example/simple', auth: 'env:LOST'}]", says: "LOST"},
	"keep_secrets_in_env":                      {value: "true", changes: true, beside: "--env PIP_INDEX_URL=https://u:hunter2hunter2@a.example/simple"},
	"apt_packages":                             {value: "[git]", says: "the parent image has no dpkg"},
	"apt.mirror":                               {value: "https://a.example/debian", script: "build_mirror"},
	"apt.keyring":                              {value: "lost.gpg", script: "bootstrap"},
	"apt.sources":                              {value: "[{url: https://a.example/debian, suites: [s], components: [c], key: lost.asc}]", says: "the parent image has no dpkg", beside: "--apt-package git"},
	"apt.recommends":                           {value: "true", script: "resolve/packages_test.go"},
	"apt.allow_remove":                         {value: "true", script: "build_apt_remove"},
	"apt.scripts":                              {value: "none", script: "build_apt_scripts"},
	"apt.accept_unconfigured":                  {value: "[x]", script: "resolve/packages_test.go"},
	"build_config.dockerignore":                {value: "own.ignore", changes: true},
	"build_config.build_options.platform":      {value: "linux/arm64", says: "linux/arm64"},
	"platforms":                                {value: "[linux/amd64, linux/arm64]", says: "--format json prints the plan for one platform, and there are 2", script: "build_platforms"},
	"build_config.build_options.labels":        {value: "{a: b}", changes: true},
	"build_config.build_options.pull":          {value: "true", script: "build_fields"},
	"build_config.build_options.no_cache":      {value: "true", script: "build_fields"},
	"build_config.build_options.nocache":       {value: "true", script: "build_fields"},
	"build_config.build_options.build_args":    {value: "{A: b}", script: "build_fields"},
	"build_config.build_options.buildargs":     {value: "{A: b}", script: "resolve/settings/code_test.go"},
	"target_repository":                        {value: "team/app", script: "pipeline_build"},
	"image_tag":                                {value: `"1"`, script: "pipeline_errors"},
	"skip_build":                               {value: "true", changes: true, says: "nothing is built or pushed"},
	"prevent_build_reuse":                      {value: "true", script: "build_reuse"},
	"compression":                              {value: "zstd", changes: true},
	"exposed_ports":                            {value: "[80]", changes: true},
	"volumes":                                  {value: "[/data]", changes: true},
	"stop_signal":                              {value: "SIGINT", changes: true},
	"healthcheck":                              {value: "{test: x}", changes: true},
	"allow_including_files_in_images":          {value: "false", changes: true, says: "the source is not in the image"},
	"allow_download_from_code_repository":      {value: "false", script: "resolve/code/code_test.go"},
	"allow_download_from_artifact_store":       {value: "false", script: "code"},
	"name":                                     {value: "other", script: "pipeline_build"},
	"registry":                                 {value: "localhost:5000", script: "pipeline_build"},
	"lock":                                     {value: "lost.lock", says: "there is no lock file src/lost.lock"},
	"build":                                    {value: "abc", says: `there is no build "abc"`},
	"zenml_version":                            {value: "0.98.0", script: "build_fields"},
	"stack":                                    {value: "lost.yaml", says: "there is no file lost.yaml"},
	"catalog":                                  {value: "lost.yaml", says: "there is no file lost.yaml"},
	"steps.train.settings.docker":              {value: "{user: '1'}", says: "--format json prints the plan of one image, and there are 2"},
	"steps.train.step_operator":                {value: "vertex", script: "stack"},
	"source_files":                             {value: "ignore", changes: true, says: "the source is not in the image"},
	"dockerignore":                             {value: "own.ignore", changes: true, says: "deprecated"},
}

// TestEveryFieldDoesWhatItSays holds that each field has an effect, in the plan
// or in what is said, and that fields without one are named in a warning and
// leave the plan as it is.
func TestEveryFieldDoesWhatItSays(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	if err := writeParent(filepath.Join(s.dir, "other"), []string{"etc/", "etc/passwd=", "etc/other="}); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.dir, "src", "own.ignore"), "main.py\n")
	write(t, filepath.Join(s.dir, "src", "pyproject.toml"), "[project]\n")
	for _, f := range settings.Fields() {
		name := strings.Replace(strings.TrimPrefix(f.Name, "settings.docker."), "*", "train", 1)
		e, known := fieldEffects[name]
		switch {
		case f.Status == settings.LeftAlone || f.Status == settings.NotYet:
			continue
		case f.Status == settings.Supported && !known:
			t.Errorf("no line says what %s does", f.Name)
			continue
		case !known:
			e = effect{value: f.Example, says: "warning: --set: " + f.Name + ": no effect"}
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.compareEffect(t, name, e)
		})
	}
}

// compareEffect plans with and without a field.
func (s *scene) compareEffect(t *testing.T, name string, e effect) {
	args := append([]string{"plan", "--progress", "none", "--format", "json", "--set", "parent_image=oci:parent"}, strings.Fields(e.beside)...)
	without := s.run(t, append(args, "src")...)
	if name == "parent_image" {
		args = args[:len(args)-2]
	}
	with := s.run(t, append(args, "--set", name+"="+e.value, "src")...)
	if !strings.Contains(with.stderr, e.says) {
		t.Errorf("with %s=%s it says\n%swant %q", name, e.value, with.stderr, e.says)
	}
	if with.err == nil {
		if changed := with.stdout != without.stdout; changed != e.changes {
			t.Errorf("with %s=%s the plan is another one: %v, want %v", name, e.value, changed, e.changes)
		}
	} else if e.says == "" {
		t.Errorf("with %s=%s: %v\n%s", name, e.value, with.err, with.stderr)
	}
	if e.script == "" {
		return
	}
	file := filepath.Join("testdata", "script", e.script+".txtar")
	if strings.HasSuffix(e.script, ".go") {
		file = filepath.Join("..", "..", e.script)
	}
	text, err := os.ReadFile(file)
	last := name[strings.LastIndexByte(name, '.')+1:]
	if err != nil || !strings.Contains(string(text), last) {
		t.Errorf("%s doesn't show what %s does (%v)", file, name, err)
	}
}
