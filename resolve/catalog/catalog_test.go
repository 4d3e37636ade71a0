// SPDX-License-Identifier: Apache-2.0

package catalog_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/catalog"
	"inlay/resolve/python/reqfile"
)

func builtin(t *testing.T) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDefault holds that the catalog is that of ZenML 0.98.0: 66 integrations,
// of which every line is a requirement.
func TestDefault(t *testing.T) {
	c := builtin(t)
	if c.ZenML != "0.98.0" || len(c.Integrations) != 66 {
		t.Errorf("the catalog is of ZenML %s with %d integrations, want 0.98.0 with 66", c.ZenML, len(c.Integrations))
	}
	for name, i := range c.Integrations {
		if _, err := (reqfile.Reader{}).List(name, i.Requirements); err != nil {
			t.Error(err)
		}
		for _, f := range i.Flavors {
			if !strings.Contains(f, "/") {
				t.Errorf("the flavor %q of %s names no type", f, name)
			}
		}
	}
	for _, o := range c.Orchestrators {
		if !slices.Contains(c.Builtin, "orchestrator/"+o) && !brought(c, "orchestrator/"+o) {
			t.Errorf("nothing brings the orchestrator %s", o)
		}
	}
	for o := range c.StepOperators {
		if !brought(c, "step_operator/"+o) {
			t.Errorf("nothing brings the step operator %s", o)
		}
	}
	for _, d := range c.Deployers {
		if !slices.Contains(c.Builtin, "deployer/"+d) && !brought(c, "deployer/"+d) {
			t.Errorf("nothing brings the deployer %s", d)
		}
	}
}

func brought(c *catalog.Catalog, flavor string) bool {
	for _, i := range c.Integrations {
		if slices.Contains(i.Flavors, flavor) {
			return true
		}
	}
	return false
}

func TestNeeds(t *testing.T) {
	got, err := builtin(t).Needs([]string{"sklearn", "deepchecks", "sklearn", "lightgbm", "airflow"})
	if err != nil {
		t.Fatal(err)
	}
	want := catalog.Needs{
		Requirements: []string{
			"deepchecks[vision]~=0.18.0", "ipython<9.0.0", "lightgbm>=1.0.0", "opencv-python-headless==4.5.5.64",
			"opencv-python==4.5.5.64", "pandas<2.2.0", "pandas>=2.0.0", "scikit-learn", "tenacity!=8.4.0", "torchvision>=0.14.0",
		},
		AptPackages: []string{"ffmpeg", "libsm6", "libxext6", "libgomp1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Needs (-want +got):\n%s", diff)
	}
}

func TestUnknownIntegration(t *testing.T) {
	for name, hint := range map[string]string{
		"scikit-learn": "did you mean sklearn?",
		"tensorflo":    "did you mean tensorflow?",
		"bitbucket":    "name one of these: airflow, argilla, aws",
	} {
		_, err := builtin(t).Needs([]string{"sklearn", name})
		var e *catalog.UnknownError
		if !errors.As(err, &e) || e.Error() != `no integration "`+name+`" of ZenML 0.98.0` || !strings.HasPrefix(e.Hint(), hint) {
			t.Errorf("Needs(%s) = %v, want an UnknownError with the hint %s", name, err, hint)
		}
	}
}

// TestWith holds that a user's catalog replaces what it names and nothing else.
func TestWith(t *testing.T) {
	own, err := catalog.Load("own.yaml", strings.NewReader("zenml: 0.99.0\nintegrations:\n  sklearn: {requirements: [scikit-learn<2]}\n  mine: {requirements: [mine], apt_packages: [git]}\ndeployment: [flask]\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := builtin(t).With(own)
	got, err := c.Needs([]string{"sklearn", "mine", "pytorch"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(catalog.Needs{Requirements: []string{"mine", "scikit-learn<2", "torch"}, AptPackages: []string{"git"}}, got); diff != "" {
		t.Errorf("Needs (-want +got):\n%s", diff)
	}
	if c.ZenML != "0.99.0" || !slices.Equal(c.Deployment, []string{"flask"}) || len(c.Orchestrators) == 0 {
		t.Errorf("With = %s, %v, %d orchestrators", c.ZenML, c.Deployment, len(c.Orchestrators))
	}
	if n, err := builtin(t).Needs([]string{"sklearn"}); err != nil || !slices.Equal(n.Requirements, []string{"scikit-learn"}) {
		t.Errorf("With changed the catalog that it is put over: %v, %v", n, err)
	}
}

const stack = `components:
- {type: orchestrator, flavor: kubernetes, name: k8s}
- {type: artifact_store, flavor: s3, config: {path: "s3://bucket"}}
- {type: container_registry, flavor: aws, config: {uri: "${REGISTRY}/team/", default_repository: ml}}
- {type: step_operator, flavor: sagemaker}
- {type: alerter, flavor: mine, requirements: [pager], apt_packages: [curl]}
- {type: alerter, flavor: other}
- {type: data_validator, flavor: custom, integration: lightgbm, is_local: true}
- {type: image_builder, flavor: local}
- {type: code_repository, flavor: github, config: {owner: o, repository: r}}
`

// variables are those of the user.
func variables(name string) (string, bool) {
	value, ok := map[string]string{"REGISTRY": "reg.example", "BAD": "\xff"}[name]
	return value, ok
}

// TestClient holds that steps of a stack that runs containers on the client's
// machine, and of no other, require what talks to the client's database.
func TestClient(t *testing.T) {
	for components, want := range map[string]string{
		"{type: orchestrator, flavor: local_docker}":                                      "zenml[local]==0.98.0",
		"{type: orchestrator, flavor: local_docker, is_local: false}":                     "",
		"{type: orchestrator, flavor: kubernetes}":                                        "",
		"{type: orchestrator, flavor: kubernetes, is_local: true}":                        "zenml[local]==0.98.0",
		"{type: orchestrator, flavor: local}":                                             "",
		"{type: orchestrator, flavor: local, is_local: true}":                             "",
		"{type: orchestrator, flavor: kubernetes}, {type: deployer, flavor: docker}":      "zenml[local]==0.98.0",
		"{type: orchestrator, flavor: kubernetes}, {type: artifact_store, flavor: local}": "",
	} {
		s, err := catalog.LoadStackWith("stack.yaml", strings.NewReader("components: ["+components+"]"), builtin(t), variables)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.Client(builtin(t), "0.98.0"), " "); got != want {
			t.Errorf("Client of %s = %q, want %q", components, got, want)
		}
		if got := s.Client(builtin(t), ""); got != nil {
			t.Errorf("Client of %s without a version = %q", components, got)
		}
	}
}

func TestStack(t *testing.T) {
	c := builtin(t)
	s, err := catalog.LoadStackWith("stack.yaml", strings.NewReader(stack), c, variables)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Needs(c, false)
	if err != nil {
		t.Fatal(err)
	}
	if more, err := s.Needs(c, true); err != nil || !slices.Contains(more.Requirements, "pygithub") || slices.Contains(got.Requirements, "pygithub") {
		t.Errorf("pygithub is not what is required only where the source comes from the repository: %v with, %v without, %v", more, got, err)
	}
	want := catalog.Needs{
		Requirements: []string{
			"Jinja2", "aws-profile-manager", "boto3", "kubernetes", "kubernetes>=21.7,<26", "lightgbm>=1.0.0", "pager",
			"pytz>=2021.1", "s3fs>2022.3.0,!=2025.3.1", "sagemaker>=2.237.3,<3.0.0",
		},
		AptPackages: []string{"curl", "libgomp1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Needs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"alerter/other"}, s.Unknown(c)); diff != "" {
		t.Errorf("Unknown (-want +got):\n%s", diff)
	}
	if uri, repository := s.Registry(); uri != "reg.example/team" || repository != "ml" {
		t.Errorf("Registry = %q, %q", uri, repository)
	}
	if ops := s.Of("step_operator"); len(ops) != 1 || ops[0].Name != "sagemaker" || ops[0].Integration != "aws" {
		t.Errorf("Of(step_operator) = %+v", ops)
	}
}

func TestStackErrors(t *testing.T) {
	tests := []struct{ yaml, want, hint string }{
		{"", "stack.yaml: it is empty", "write YAML as in the documentation of stacks"},
		{"components: {a: b}", "stack.yaml:1: a value of another kind is wanted", "write a list here"},
		{"components:\n- a", "stack.yaml:2: a value of another kind is wanted", "write a mapping here"},
		{"components:\n- {type: a, flavour: b}", `stack.yaml:2: unknown field "flavour"`, "did you mean `flavor`?"},
		{"componets: []", `stack.yaml:1: unknown field "componets"`, "did you mean `components`?"},
		{"components: [{type: orchestrator}]", "stack.yaml:1: components[0]: it has no type or no flavor", "write, for example, `{type: orchestrator, flavor: kubernetes}`"},
		{"components: [{type: orchestrater, flavor: x}]", `stack.yaml:1: components[0]: there are no components of type "orchestrater"`, "did you mean `orchestrator`?"},
		{"components: [{type: alerter, flavor: x, integration: slak}]", `stack.yaml:1: components[0]: no integration "slak" of ZenML 0.98.0`, "did you mean slack?"},
		{"components: []\n---\na: b", "stack.yaml:2: a second document begins", "write YAML as in the documentation of stacks"},
		{"components:\n- {type: alerter,\n   flavor: '${LOST}'}", "stack.yaml:3: the variable LOST is not set", "run `export LOST=…` first"},
		{"components:\n- {type: alerter, flavor: '${BAD}'}", "stack.yaml:2: the variable BAD is not UTF-8", "run `export BAD=…` with text in UTF-8"},
		{"components: [", "stack.yaml:1: did not find expected node content", "write YAML as in the documentation of stacks"},
		{strings.Repeat("#", 1<<20+1), "stack.yaml: it is longer than 1 MiB", "write YAML as in the documentation of stacks"},
	}
	for _, tt := range tests {
		_, err := catalog.LoadStackWith("stack.yaml", strings.NewReader(tt.yaml), builtin(t), variables)
		var e *catalog.FormatError
		if !errors.As(err, &e) || e.Error() != tt.want || e.Hint() != tt.hint {
			t.Errorf("LoadStack(%.60q)\n got %v\nwant %s (%s)", tt.yaml, err, tt.want, tt.hint)
			if e != nil {
				t.Errorf("hint: %s", e.Hint())
			}
		}
	}
}
