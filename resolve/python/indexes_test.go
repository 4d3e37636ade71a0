// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/index"
	"inlay/resolve/python"
	"inlay/resolve/python/pythontest"
)

// Indexes that requirements name are asked too, and uv gets their credentials
// in its environment alone, with a cache for each realm.
func TestIndexesOfRequirements(t *testing.T) {
	lines := []string{"idna", "--index-url https://u:s3cret@a.example/simple", "--extra-index-url=https://b.example/simple"}
	run := &script{install: said{stderr: "Would make no changes\n"}}
	var env []string
	run.look = func(c python.Command) {
		for _, kv := range c.Env {
			if strings.HasPrefix(kv, "UV_INDEX") || strings.HasPrefix(kv, "UV_DEFAULT") {
				env = append(env, kv)
			}
		}
	}
	r, set := resolver(t, run), at(t, "", "https://c.example/simple")
	if _, err := r.Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, lines...), Index: set}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"UV_DEFAULT_INDEX=inlay-3=https://a.example/simple",
		"UV_INDEX=https://c.example/simple https://b.example/simple",
		"UV_INDEX_INLAY_3_PASSWORD=s3cret", "UV_INDEX_INLAY_3_USERNAME=u",
	}
	if diff := cmp.Diff(want, env); diff != "" {
		t.Errorf("uv's environment (-want +got):\n%s", diff)
	}
	if all := strings.Join(run.input, "") + strings.Join(run.calls[0], " "); strings.Contains(all, "s3cret") {
		t.Errorf("uv is told the password elsewhere: %s", all)
	}
	want = []string{"s3cret"}
	var got []string
	for _, s := range set.Secrets() {
		got = append(got, s.Value)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the secrets that are known after it (-want +got):\n%s", diff)
	}
}

// An index that one group names is not asked for another.
func TestIndexesOfGroups(t *testing.T) {
	run := &script{install: said{stderr: "Would make no changes\n"}}
	var env []string
	run.look = func(c python.Command) {
		for _, kv := range c.Env {
			if strings.HasPrefix(kv, "UV_INDEX=") {
				env = append(env, kv)
			}
		}
	}
	groups := append(group(t, "idna", "--extra-index-url https://a.example/simple"), group(t, "six", "--extra-index-url https://b.example/simple")...)
	req := python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: groups, Index: at(t, "", "https://c.example/simple")}
	if _, err := resolver(t, run).Resolve(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	want := []string{"UV_INDEX=https://c.example/simple https://a.example/simple", "UV_INDEX=https://c.example/simple https://b.example/simple"}
	if diff := cmp.Diff(want, env); diff != "" {
		t.Errorf("uv's environment (-want +got):\n%s", diff)
	}
}

// Whose credentials they are decides which cache and which answer are used,
// what the password is does not.
func TestRealms(t *testing.T) {
	run := &script{install: said{stderr: "Would make no changes\n"}}
	var caches []string
	run.look = func(c python.Command) {
		for _, kv := range c.Env {
			if strings.HasPrefix(kv, "UV_CACHE_DIR=") {
				caches = append(caches, kv)
			}
		}
	}
	r := resolver(t, run)
	for _, url := range []string{"https://a.example", "https://u:one@a.example", "https://v:one@a.example", "https://u:two@a.example", "https://a.example"} {
		if _, err := r.Resolve(t.Context(), python.Request{Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "idna"), Index: at(t, url)}); err != nil {
			t.Fatal(err)
		}
	}
	if len(caches) != 3 || caches[0] == caches[1] || caches[0] == caches[2] || caches[1] == caches[2] {
		t.Errorf("uv was asked with the caches %q, want three: for none, for u and for v", caches)
	}
}

// What uv says of refused credentials leads to the index that they are for.
func TestDenied(t *testing.T) {
	tests := []struct {
		name, says, index string
		sent              bool
	}{
		{
			"an index with a password",
			"error: No solution found when resolving dependencies\n  cause: Because idna was not found in the package registry and you require idna, we can conclude that your requirements are unsatisfiable.\n\nhint: An index URL (https://a.example/simple) could not be queried due to a lack of valid authentication credentials (401 Unauthorized).\n",
			"corp", true,
		},
		{
			"a file of another server",
			"error: Failed to download `idna==3.4`\n  cause: Failed to fetch: `https://files.example/idna-3.4-py3-none-any.whl`\n  cause: HTTP status client error (403 Forbidden) for url (https://files.example/idna-3.4-py3-none-any.whl)\n",
			"files.example", false,
		},
	}
	for _, tt := range tests {
		run := &script{install: said{exit: 1, stderr: tt.says}}
		_, err := resolver(t, run).Resolve(t.Context(), python.Request{
			Inventory: pythontest.Debian(), View: view(t, nil), Groups: group(t, "idna"), Index: at(t, "", "corp=https://u:s3cret@a.example/simple"),
		})
		var denied *index.DeniedError
		if !errors.As(err, &denied) || denied.Index != tt.index || denied.Sent != tt.sent || denied.Hint() == "" {
			t.Errorf("%s: Resolve: %v, want a *DeniedError about %s", tt.name, err, tt.index)
		}
	}
}
