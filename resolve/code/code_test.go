// SPDX-License-Identifier: Apache-2.0

package code_test

import (
	"errors"
	"strings"
	"testing"

	"inlay/resolve/catalog"
	"inlay/resolve/code"
	"inlay/resolve/settings"
)

// load reads fields of settings.docker.
func load(t *testing.T, fields string) *settings.Docker {
	t.Helper()
	d, _, err := settings.Load("inlay.yaml", strings.NewReader("settings:\n  docker: {parent_image: base, "+fields+"}\n"), settings.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDecide has a line for each row of ZenML's table (spec/zenml.md section 5.1),
// and for what there is to choose from.
func TestDecide(t *testing.T) {
	const (
		repo    = "allow_download_from_code_repository: "
		store   = "allow_download_from_artifact_store: "
		include = "allow_including_files_in_images: "
	)
	dirty, none := &code.UnusableError{Problem: "it has local changes: a.py", Fix: "commit and push all changes"}, &code.UnusableError{Problem: "the stack has none", Fix: "add one"}
	all := code.Offers{}
	for _, tt := range []struct {
		name   string
		fields string
		offers code.Offers
		want   code.Way
		err    string
	}{
		{"an installation needs the source", "local_project_install_command: make", all, code.Include, ""},
		{"a repository that can be used", "", all, code.Repository, ""},
		{"a repository that can be used, and nothing else", store + "false, " + include + "false", all, code.Repository, ""},
		{"a repository that must not be used", repo + "false", all, code.Store, ""},
		{"a repository with changes", "", code.Offers{Repository: dirty}, code.Store, ""},
		{"no repository", "", code.Offers{Repository: none}, code.Store, ""},
		{"a store and nothing else", repo + "false, " + include + "false", all, code.Store, ""},
		{"neither", "", code.Offers{Repository: none, Store: none}, code.Include, ""},
		{"neither must be used", repo + "false, " + store + "false", all, code.Include, ""},
		{"changes, and no store", "", code.Offers{Repository: dirty, Store: none}, code.Include, ""},
		{"changes, and no store may be used", store + "false", code.Offers{Repository: dirty}, code.Include, ""},
		{"nothing may be used", repo + "false, " + store + "false, " + include + "false", all, code.Nothing, ""},
		{"only a store, and there is none", repo + "false, " + include + "false", code.Offers{Store: none}, code.Nothing, ""},
		{"a download, and there is none", include + "false", code.Offers{Repository: none, Store: none}, code.Nothing, ""},
		{
			"only a repository, with changes", store + "false, " + include + "false",
			code.Offers{Repository: dirty},
			code.Nothing,
			"inlay.yaml:2: settings.docker.allow_including_files_in_images: the source can come from a code repository only, and it has local changes: a.py",
		},
		{
			"only a repository, and there is none", store + "false, " + include + "false",
			code.Offers{Repository: none},
			code.Nothing,
			"the source can come from a code repository only, and the stack has none",
		},
		{"the old include", "source_files: include", all, code.Include, ""},
		{"the old download", "source_files: download", all, code.Repository, ""},
		{"the old download, with changes", "source_files: download", code.Offers{Repository: dirty}, code.Nothing, "code repository only, and it has local changes"},
		{"the old download_or_include", "source_files: download_or_include", all, code.Repository, ""},
		{"the old download_or_include, with changes", "source_files: download_or_include", code.Offers{Repository: dirty}, code.Include, ""},
		{"the old ignore", "source_files: ignore", all, code.Nothing, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := code.Decide(load(t, tt.fields), tt.offers)
			if got != tt.want {
				t.Errorf("Decide(%s, %+v) = %v, want %v", tt.fields, tt.offers, got, tt.want)
			}
			switch {
			case tt.err == "" && err != nil:
				t.Error(err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("Decide(%s) fails with %v, want %s", tt.fields, err, tt.err)
			}
		})
	}
}

// TestAsks holds that nobody looks at a checkout that decides nothing.
func TestAsks(t *testing.T) {
	for fields, want := range map[string]bool{
		"": true, "skip_build: true": false, "allow_download_from_code_repository: false": false, "local_project_install_command: make": false,
	} {
		if got := code.Asks(load(t, fields)); got != want {
			t.Errorf("Asks(%s) = %v, want %v", fields, got, want)
		}
	}
}

// stack reads components of a stack.
func stack(t *testing.T, components ...string) *catalog.Stack {
	t.Helper()
	c, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	s, err := catalog.LoadStack("stack.yaml", strings.NewReader("components:\n- "+strings.Join(components, "\n- ")+"\n"), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// places are what a stack says of a repository or a store: where it is, or what
// is wrong with it.
func checkPlaces(t *testing.T, of func(*catalog.Stack) (string, error), tests map[string]string) {
	t.Helper()
	for component, want := range tests {
		got, err := of(stack(t, component))
		if err != nil {
			got = err.Error()
			var h interface{ Hint() string }
			if !errors.As(err, &h) || h.Hint() == "" {
				t.Errorf("of %s: the error says nothing to do: %v", component, err)
			}
		}
		if got != want {
			t.Errorf("of %s: %s, want %s", component, got, want)
		}
	}
}

func TestRepositoryOf(t *testing.T) {
	checkPlaces(t, code.RepositoryOf, map[string]string{
		"{type: alerter, flavor: slack}": "the stack has none",
		"{type: code_repository, flavor: git, config: {url: 'https://a.example/x/y.git/'}}":                         "https://a.example/x/y.git",
		"{type: code_repository, flavor: git, config: {url: 'http://127.0.0.1:1/y'}}":                               "http://127.0.0.1:1/y",
		"{type: code_repository, flavor: github, config: {owner: o, repository: r}}":                                "https://github.com/o/r.git",
		"{type: code_repository, flavor: github, config: {url: 'https://api.github.com', owner: o, repository: r}}": "https://github.com/o/r.git",
		"{type: code_repository, flavor: gitlab, config: {group: a/b, project: p, host: git.example}}":              "https://git.example/a/b/p.git",
		"{type: code_repository, flavor: git}":                                                                      "stack.yaml:2: its code repository git says not where it is",
		"{type: code_repository, flavor: git, config: {url: 'git@a.example:x/y'}}":                                  "stack.yaml:2: the url of its code repository git is none that containers can download from",
		"{type: code_repository, flavor: git, config: {url: 'https://me:hunter2@a.example/x'}}":                     "stack.yaml:2: the url of its code repository git holds a login",
	})
}

func TestStoreOf(t *testing.T) {
	store := func(flavor, path string) string {
		return "{type: artifact_store, flavor: " + flavor + ", name: here, config: {path: '" + path + "'}}"
	}
	checkPlaces(t, func(s *catalog.Stack) (string, error) { return code.StoreOf(s, "/src") }, map[string]string{
		"{type: alerter, flavor: slack}":                 "the stack has none",
		"{type: artifact_store, flavor: s3, name: here}": "the stack doesn't say where here is",
		store("s3", "s3://bucket/a/b/"):                  "s3://bucket/a/b",
		store("gcp", "gs://bucket"):                      "gs://bucket",
		store("azure", "abfs://container/x"):             "az://container/x",
		store("azure", "azblob://container/x"):           "az://container/x",
		store("local", "/srv/a b/"):                      "file:///srv/a%20b",
		store("local", "file:///srv"):                    "file:///srv",
		store("local", "store"):                          "file:///src/store",
		store("local", "file://srv"):                     "stack.yaml:2: the path file://srv of here is not absolute",
		store("s3", "s3:///a"):                           "stack.yaml:2: the path of here names no bucket, or more than that",
		store("s3", "s3://key:secret@bucket"):            "stack.yaml:2: the path of here names no bucket, or more than that",
		store("s3", "s3://bucket/a#b"):                   "stack.yaml:2: the path of here has a # or ? in it",
		store("b2", "b2://bucket"):                       "there is no way to write to b2://",
	})
	if got := code.EndpointOf(stack(t, "{type: artifact_store, flavor: s3, config: {path: s3://b, client_kwargs: {endpoint_url: 'http://minio:9000'}}}")); got != "http://minio:9000" {
		t.Errorf("EndpointOf = %q", got)
	}
}
