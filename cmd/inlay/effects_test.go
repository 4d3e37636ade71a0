// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"inlay/resolve/apt/archive/archivetest"
	"inlay/resolve/settings"
)

// An effect is what a value of a field does. Exactly one of changes, plans,
// names, nothing and says holds, but for says, which may stand beside the others.
type effect struct {
	value   string
	changes bool   // the image is another one, and the plan says what of it and why
	plans   bool   // the image is the same, and the plan says something else
	names   bool   // the image is the same, and called something else
	nothing bool   // it does nothing, and is there for ZenML's sake
	says    string // on standard error, and only with the field
	beside  string // flags that must be given too, with and without it
}

// Flags that several fields need beside them.
const (
	withPython = "--set parent_image=oci:python --offline"
	withSix    = withPython + " -r six"
	withDebian = "--set parent_image=oci:debian"
	withCode   = "--set parent_image=oci:python --set install_stack_requirements=false --set stack="
	withStack  = withPython + " --set stack=stack.yaml"
)

// fieldEffects has a line for every field that does something: a new one
// without a line fails the test. Names are as for --set.
var fieldEffects = map[string]effect{
	"parent_image":                       {value: "oci:other", changes: true},
	"requirements":                       {value: "[six]", says: "resolving requirements: no uv", beside: withPython},
	"python":                             {value: "/opt/bin/python3", plans: true, beside: withPython},
	"environment":                        {value: "{A: b}", changes: true},
	"runtime_environment":                {value: "{A: b}", changes: true},
	"user":                               {value: `"1000"`, changes: true},
	"workdir":                            {value: "/srv", changes: true},
	"entrypoint":                         {value: "[run]", changes: true},
	"cmd":                                {value: "[run]", changes: true},
	"local_project_install_command":      {value: "exit 7", says: `making layer "local_project_install_command"`},
	"labels":                             {value: "{a: b}", changes: true},
	"annotations":                        {value: "{a: b}", changes: true},
	"replicate_local_python_environment": {value: "[echo, six]", says: "resolving requirements: no uv", beside: withPython},
	"install_stack_requirements":         {value: "false", changes: true, beside: withStack},
	"install_deployment_requirements":    {value: "false", changes: true, beside: withPython + " --set install_stack_requirements=false --set stack=deployer.yaml"},
	"required_integrations":              {value: "[sklearn]", says: "resolving requirements: no uv", beside: withPython},
	"pyproject_path":                     {value: "pyproject.toml", says: "no command exports", beside: withPython},
	"pyproject_export_command":           {value: "[echo, six]", says: "resolving requirements: no uv", beside: withPython + " --pyproject src/pyproject.toml"},
	"disable_automatic_requirements_detection":           {value: "false", says: "the requirements are those of pyproject.toml"},
	"python_package_installer":                           {value: "pip", says: "pip has not resolved these requirements before", beside: withSix},
	"python_package_installer_args":                      {value: "{no-such: 1}", says: "python_package_installer_args.no-such", beside: withSix},
	"indexes":                                            {value: "[{url: 'https://a.example/simple', auth: 'env:LOST'}]", says: "LOST"},
	"keep_secrets_in_env":                                {value: "true", changes: true, beside: "--env PIP_INDEX_URL=https://u:hunter2hunter2@a.example/simple"},
	"apt_packages":                                       {value: "[other]", changes: true, beside: withDebian},
	"apt.mirror":                                         {value: "http://$FILES/second", changes: true, beside: withDebian + " --apt-package other"},
	"apt.keyring":                                        {value: "lost.gpg", says: "lost.gpg", beside: "--set parent_image=apt:bookworm --set apt.mirror=http://$FILES/first"},
	"apt.sources":                                        {value: "[{url: http://$FILES/third, suites: [bookworm], components: [main], key: ../third.asc}]", changes: true, beside: withDebian + " --apt-package more"},
	"apt.recommends":                                     {value: "true", changes: true, beside: withDebian + " --apt-package wishful"},
	"apt.allow_remove":                                   {value: "true", changes: true, beside: "--set parent_image=oci:grown --apt-package rival"},
	"apt.scripts":                                        {value: "require-all", says: "can't be run in full", beside: withDebian + " --apt-package odd"},
	"apt.accept_unconfigured":                            {value: "[odd]", changes: true, beside: withDebian + " --apt-package odd"},
	"build_config.dockerignore":                          {value: "own.ignore", changes: true},
	"build_config.build_options.platform":                {value: "linux/arm64", says: "is not for linux/arm64"},
	"platforms":                                          {value: "[linux/amd64, linux/arm64]", says: "is not for linux/arm64"},
	"build_config.build_options.labels":                  {value: "{a: b}", changes: true},
	"build_config.build_options.pull":                    {value: "true", says: "--offline leaves nobody to ask for the parent", beside: "--offline"},
	"build_config.build_options.no_cache":                {value: "true", plans: true},
	"build_config.build_options.nocache":                 {value: "true", plans: true},
	"build_config.build_options.build_args":              {value: "{VERSION: '1'}", says: "resolving requirements: no uv", beside: withPython + " --requirements src/args.txt"},
	"build_config.build_options.buildargs":               {value: "{VERSION: '1'}", says: "resolving requirements: no uv", beside: withPython + " --requirements src/args.txt"},
	"dockerfile":                                         {value: "Dockerfile", changes: true},
	"build_context_root":                                 {value: "docker", says: "no effect without"},
	"parent_image_build_config.dockerignore":             {value: "own.ignore", changes: true, beside: "--dockerfile src/copy.Dockerfile --set build_context_root=docker --set allow_including_files_in_images=false"},
	"parent_image_build_config.build_options.target":     {value: "one", changes: true, beside: "--dockerfile src/Dockerfile"},
	"parent_image_build_config.build_options.platform":   {value: "linux/arm64", says: "is not for linux/arm64"},
	"parent_image_build_config.build_options.labels":     {value: "{a: b}", changes: true},
	"parent_image_build_config.build_options.pull":       {value: "true", nothing: true},
	"parent_image_build_config.build_options.no_cache":   {value: "true", plans: true},
	"parent_image_build_config.build_options.nocache":    {value: "true", plans: true},
	"parent_image_build_config.build_options.build_args": {value: "{V: '2'}", changes: true, beside: "--dockerfile src/Dockerfile"},
	"parent_image_build_config.build_options.buildargs":  {value: "{V: '2'}", changes: true, beside: "--dockerfile src/Dockerfile"},
	"target_repository":                                  {value: "team/app", names: true},
	"image_tag":                                          {value: `"1"`, names: true},
	"skip_build":                                         {value: "true", changes: true, says: "nothing is built or pushed"},
	"prevent_build_reuse":                                {value: "true", plans: true, beside: "--push -t $REGISTRY/app:v1"},
	"bytecode":                                           {value: "checked", says: "settings.docker.bytecode: want off or on"},
	"compression":                                        {value: "zstd", changes: true},
	"exposed_ports":                                      {value: "[80]", changes: true},
	"volumes":                                            {value: "[/data]", changes: true},
	"stop_signal":                                        {value: "SIGINT", changes: true},
	"healthcheck":                                        {value: "{test: x}", changes: true},
	"allow_including_files_in_images":                    {value: "false", changes: true, says: "the source is not in the image"},
	"allow_download_from_code_repository":                {value: "true", says: "is not downloaded from the stack's code repository", beside: withCode + "repository.yaml --set allow_download_from_code_repository=false"},
	"allow_download_from_artifact_store":                 {value: "false", changes: true, beside: withCode + "store.yaml"},
	"name":                                               {value: "other", names: true},
	"registry":                                           {value: "localhost:5000", names: true},
	"lock":                                               {value: "lost.lock", says: "there is no lock file src/lost.lock"},
	"build":                                              {value: "abc", says: `there is no build "abc"`},
	"zenml_version":                                      {value: "0.98.0", says: "parent image zenmldocker/zenml:0.98.0-py3.", beside: `--offline --set parent_image=""`},
	"stack":                                              {value: "lost.yaml", says: "there is no file lost.yaml"},
	"catalog":                                            {value: "lost.yaml", says: "there is no file lost.yaml"},
	"steps.train.settings.docker":                        {value: "{user: '1'}", changes: true},
	"steps.train.step_operator":                          {value: "mine", changes: true, beside: "--set stack=operator.yaml --set install_stack_requirements=false"},
	"source_files":                                       {value: "ignore", changes: true, says: "the source is not in the image"},
	"dockerignore":                                       {value: "own.ignore", changes: true, says: "deprecated"},
}

// A theatre is what the tests of effects play on: parents, a source, archives of
// Debian packages and a registry.
type theatre struct {
	*scene
	t      *testing.T        // of the whole
	places *strings.Replacer // $FILES and $REGISTRY

	mu    sync.Mutex
	bases map[string]func() act // by the flags beside a field
}

// An act is what builds with some flags came to.
type act struct {
	cache string // it left
	built outcome
	plan  string // what the plan said before
	names string // what the images are called
}

func newTheatre(t *testing.T) *theatre {
	t.Helper()
	s := &theatre{scene: newScene(t), t: t, bases: map[string]func() act{}}
	files := serve(t, http.FileServer(http.Dir(s.dir)).ServeHTTP)
	hub := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(hub.Close)
	s.places = strings.NewReplacer("$FILES", files, "$REGISTRY", strings.TrimPrefix(hub.URL, "http://"))
	s.archives(t, files)
	for name, contents := range map[string][]string{
		"other":  {"etc/", "etc/passwd=", "etc/other="},
		"python": {"etc/", "etc/passwd=", "usr/bin/python3=@3.11.4", "usr/lib/python3.11/os.py=", "opt/bin/python3=@3.12.1", "opt/lib/python3.12/os.py="},
	} {
		if err := writeParent(filepath.Join(s.dir, name), contents); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"Dockerfile": "FROM oci:parent AS one\nARG V=1\nENV V=$V\nFROM one\nENV A=b\n", "copy.Dockerfile": "FROM oci:parent\nCOPY . /x\n", "docker/main.py": "",
		"own.ignore": "main.py\n", "pyproject.toml": "[project]\n", "args.txt": "six @ https://a.example/six-${VERSION}-py3-none-any.whl\n",
		"stack.yaml":      "components: [{type: orchestrator, flavor: kubernetes, requirements: [six]}]\n",
		"deployer.yaml":   "components: [{type: orchestrator, flavor: kubernetes}, {type: deployer, flavor: docker}]\n",
		"store.yaml":      "components: [{type: orchestrator, flavor: kubernetes}, {type: artifact_store, flavor: local, config: {path: ../store}}]\n",
		"repository.yaml": "components: [{type: orchestrator, flavor: kubernetes}, {type: code_repository, flavor: github, config: {owner: team, repository: project}}]\n",
		"operator.yaml":   "components: [{type: orchestrator, flavor: local}, {type: step_operator, flavor: vertex, name: mine}]\n",
	} {
		write(t, filepath.Join(s.dir, "src", name), text)
	}
	return s
}

// archives makes archives of Debian packages and the parents that use them.
func (s *theatre) archives(t *testing.T, files string) {
	t.Helper()
	key, err := archivetest.NewKey(time.Now().Add(-2 * time.Hour)) // it must count today
	if err != nil {
		t.Fatal(err)
	}
	text, err := key.Armoured()
	if err != nil {
		t.Fatal(err)
	}
	for name, packages := range map[string][]string{
		"first": {"other=1.0", "rival=1.0", "wishful=1.0", "odd=1.0", "more=1.0"}, "second": {"other=1.1"}, "third": {"more=2.0"},
	} {
		if err := writeArchive(filepath.Join(s.dir, name), key, packages); err != nil {
			t.Fatal(err)
		}
	}
	const status = "Package: %s\nStatus: install ok installed\nMaintainer: Nobody <nobody@example.org>\nArchitecture: %s\nVersion: 1.0\nDescription: made for a test\n\n"
	for name, more := range map[string]string{"debian": "", "grown": fmt.Sprintf(status, "other", "all")} {
		err := writeParent(filepath.Join(s.dir, name), []string{
			"etc/", "etc/passwd=root:x:0:0:root:/root:/bin/sh\n", "etc/group=root:x:0:\n", "etc/apt/keyrings/test.asc=" + text,
			"etc/apt/sources.list=deb [signed-by=/etc/apt/keyrings/test.asc] http://" + files + "/first bookworm main\n",
			"usr/", "usr/bin/", "var/lib/dpkg/", "var/lib/dpkg/info/", "var/lib/dpkg/info/dpkg.list=/.\n", "var/lib/dpkg/info/other.list=/.\n",
			"var/lib/dpkg/status=" + fmt.Sprintf(status, "dpkg", "amd64") + more,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// act plans and builds with flags, and with a cache of its own that begins as
// another.
func (s *theatre) act(t *testing.T, from string, flags ...string) (a act) {
	t.Helper()
	a.cache = filepath.Join(t.TempDir(), "cache")
	if _, err := os.Stat(from); err == nil { // what fails early leaves none
		if err := os.CopyFS(a.cache, os.DirFS(from)); err != nil {
			t.Error(err)
		}
	}
	for i, f := range flags {
		flags[i] = s.places.Replace(f)
	}
	if !slices.Contains(flags, "--push") {
		flags = append(flags, "-o", "oci:"+filepath.Join(a.cache, "..", "out"))
	}
	run := func(args ...string) outcome {
		cmd := s.command(t.Context(), slices.Concat(args, flags, []string{"src"})...)
		cmd.Env = append(cmd.Env, "INLAY_CACHE_DIR="+a.cache, "PATH=/usr/bin:/bin", "LC_ALL=C")
		return finish(cmd)
	}
	a.plan = run("plan", "--progress", "none").stdout
	meta := filepath.Join(a.cache, "..", "meta.json")
	a.built = run("build", "--progress", "none", "--metadata-file", meta)
	if strings.Contains(a.built.stderr, "--metadata-file") { // nothing is built that it could describe
		a.built = run("build", "--progress", "none")
	}
	if text, err := os.ReadFile(meta); err == nil {
		a.names = strings.Join(regexp.MustCompile(`"image.name": ".*"`).FindAllString(string(text), -1), "\n")
	}
	if slices.Contains(flags, "--push") { // that it is in the registry is all that is left of it
		if err := os.RemoveAll(filepath.Join(a.cache, "layers")); err != nil {
			t.Error(err)
		}
	}
	return a
}

// base is what builds without a field come to, the second time: nothing changed,
// so nothing is made again.
func (s *theatre) base(t *testing.T, flags []string) act {
	t.Helper()
	s.mu.Lock()
	name := strings.Join(flags, " ")
	once, ok := s.bases[name]
	if !ok {
		once = sync.OnceValue(func() act {
			first := s.act(s.t, "", flags...)
			again := s.act(s.t, first.cache, flags...)
			if first.built.err == nil && (first.digests() != again.digests() || toMake.MatchString(again.plan) && !reuses.MatchString(again.plan)) {
				s.t.Errorf("built twice with %q it is made again:\n%s%s\n%s%s", flags, first.plan, first.built.stdout, again.plan, again.built.stdout)
			}
			again.cache = first.cache
			return again
		})
		s.bases[name] = once
	}
	s.mu.Unlock()
	return once()
}

var (
	// toMake finds what a plan says of an image that isn't there yet.
	toMake = regexp.MustCompile(`(?m)^(make |changed beside the layers: )`)
	// reuses finds that all of it is taken from an earlier build.
	reuses = regexp.MustCompile(`(?m)^a build would reuse the image of build `)
)

// digests are those of the images that were built.
func (a act) digests() string {
	return strings.Join(regexp.MustCompile(`sha256:[0-9a-f]{64}`).FindAllString(a.built.stdout, -1), " ")
}

// TestSettingsDoWhatTheySay holds that each field has the effect that its line
// says: in the image, in its name, in the plan, or in what is said. It changes one
// field at a time after a build without it. Of an image that was built before, a
// plan says that something is made or is another beside the layers if and only if
// the image turns out to be another: so none is stale, and none made for nothing.
func TestSettingsDoWhatTheySay(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector finds no more in two hundred builds than in those of the scripts")
	}
	t.Parallel()
	s := newTheatre(t)
	for _, f := range settings.Fields() {
		name := strings.Replace(strings.TrimPrefix(f.Name, "settings.docker."), "*", "train", 1)
		e, known := fieldEffects[name]
		switch {
		case f.Status == settings.LeftAlone:
			continue
		case f.Status == settings.Supported && !known:
			t.Errorf("no line says what %s does", f.Name)
			continue
		case !known:
			e = effect{value: f.Example, nothing: true, says: "warning: --set: " + f.Name + ": no effect"}
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.compare(t, name, e)
		})
	}
}

// compare builds without a field and with it.
func (s *theatre) compare(t *testing.T, name string, e effect) {
	before := strings.Fields(e.beside)
	if !strings.Contains(e.beside, "parent_image") {
		before = append(before, "--set", "parent_image=oci:parent")
	}
	flags := append(slices.Clone(before), "--set", name+"="+e.value)
	if name == "parent_image" {
		flags = flags[2:]
	}
	without := s.base(t, before)
	with := s.act(t, without.cache, flags...)
	if e.says != "" && (!strings.Contains(with.built.stderr, e.says) || strings.Contains(without.built.stderr, e.says)) {
		t.Errorf("with %s=%s it says\n%s\nand without\n%s\nwant %q with it alone", name, e.value, with.built.stderr, without.built.stderr, e.says)
	}
	another := with.digests() != without.digests()
	got := effect{changes: another, names: !another && with.names != without.names, plans: !another && with.plan != without.plan}
	got.nothing = got == effect{}
	switch want := (effect{changes: e.changes, names: e.names, plans: e.plans, nothing: e.nothing}); {
	case want == effect{} && e.says == "": // what no line says is not shown
		t.Error("its line says nothing")
	case want == effect{}:
	case with.built.err != nil:
		t.Errorf("with %s=%s: %s", name, e.value, with.built.stderr)
	case got != want:
		t.Errorf("with %s=%s it has the effects %+v, want %+v:\n%s%s\nwithout:\n%s%s", name, e.value, got, want, with.plan, with.built.stdout, without.plan, without.built.stdout)
	}
	if said := toMake.MatchString(with.plan); with.digests() != "" && without.digests() != "" && !e.plans && !reuses.MatchString(without.plan) && said != another {
		t.Errorf("with %s=%s the image is another: %v, but the plan says\n%s", name, e.value, another, with.plan)
	}
}

// TestInputs changes one thing at a time that isn't a field: the plan says what,
// if and only if the image turns out to be another.
func TestInputs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(t *testing.T, dir string)
		says   string // in the plan; "" for what is no change
	}{
		{"nothing", func(*testing.T, string) {}, ""},
		{"a byte of the source", func(t *testing.T, dir string) { write(t, dir+"/src/main.py", "print(2)\n") }, "main.py changed"},
		{"the mode of a file", func(t *testing.T, dir string) { check(t, os.Chmod(dir+"/src/main.py", 0o755)) }, "main.py changed"},
		{"the time of a file", func(t *testing.T, dir string) { check(t, os.Chtimes(dir+"/src/main.py", time.Time{}, time.Unix(1, 0))) }, ""},
		{"a new file", func(t *testing.T, dir string) { write(t, dir+"/src/new.py", "") }, "new.py added"},
		{"a file that is gone", func(t *testing.T, dir string) { check(t, os.Remove(dir+"/src/other.py")) }, "other.py removed"},
		{"an ignored file", func(t *testing.T, dir string) { write(t, dir+"/src/a.log", "more") }, ""},
		{"the ignore file", func(t *testing.T, dir string) { write(t, dir+"/src/.dockerignore", "*.log\nother.py\n.dockerignore\n") }, "other.py removed"},
		{"a comment of the ignore file", func(t *testing.T, dir string) { write(t, dir+"/src/.dockerignore", "# more\n*.log\n.dockerignore\n") }, ""},
		{"the spelling of the settings", func(t *testing.T, dir string) {
			write(t, dir+"/inlay.yaml", "# more\nsettings:\n  docker:\n    user: ''\n    parent_image: \"oci:parent\"\n")
		}, ""},
		{"the parent's files", func(t *testing.T, dir string) {
			check(t, writeParent(dir+"/parent", []string{"etc/", "etc/passwd=", "etc/new="}))
		}, "changed beside the layers: the parent, which was oci:parent@sha256:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &theatre{scene: newScene(t), t: t, places: strings.NewReplacer()}
			for name, text := range map[string]string{
				"src/other.py": "", "src/a.log": "", "src/.dockerignore": "*.log\n.dockerignore\n",
				"inlay.yaml": "settings: {docker: {parent_image: 'oci:parent'}}\n",
			} {
				write(t, filepath.Join(s.dir, name), text)
			}
			before := s.act(t, "", "-f", "inlay.yaml")
			tt.change(t, s.dir)
			after := s.act(t, before.cache, "-f", "inlay.yaml")
			if before.digests() == "" || (before.digests() != after.digests()) != (tt.says != "") {
				t.Errorf("the image was %s %s and is %s %s", before.built.stdout, before.built.stderr, after.built.stdout, after.built.stderr)
			}
			if said := toMake.MatchString(after.plan); said != (tt.says != "") || !strings.Contains(after.plan, tt.says) {
				t.Errorf("the plan says\n%swant %q", after.plan, tt.says)
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
