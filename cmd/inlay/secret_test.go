// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/assemble/step"
	"inlay/resolve/sandbox"
)

// TestSecrets gives the command that installs the source secrets: it reads them,
// and nothing that a build leaves or says holds one.
func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("INLAY_CACHE_DIR", dir+"/cache")
	if _, err := sandbox.Choose(t.Context(), t.TempDir(), ""); err != nil {
		t.Skip(err)
	}
	token, key := rand.Text(), rand.Text()+rand.Text()
	t.Setenv("TOKEN", token)
	keyFile := filepath.Join(t.TempDir(), "key")
	write(t, keyFile, "-----BEGIN KEY-----\n"+key+"\n-----END KEY-----\n")
	parent := insideImage(t, func(c *v1.Config) { c.Entrypoint, c.Cmd = nil, nil })
	command := func(words string) string {
		return project(t, "settings:\n  docker:\n    parent_image: "+parent+"\n    local_project_install_command: "+words+"\n", map[string]string{"a.txt": "source\n"})
	}
	out := "oci:" + dir + "/image"
	logs := ""
	inlay := func(status int, args ...string) (stdout, stderr string) {
		t.Helper()
		var o, e bytes.Buffer
		if got := run(t.Context(), append([]string{"inlay"}, args...), &o, &e); got != status {
			t.Fatalf("%q = %d, want %d: %s%s", args, got, status, o.String(), e.String())
		}
		logs += o.String() + e.String()
		return o.String(), e.String()
	}
	given := []string{"--secret", "id=token,env=TOKEN", "--secret", "type=file,id=deploy.key,source=" + keyFile}
	build := func(status int, dir string) string {
		t.Helper()
		_, said := inlay(status, append(append([]string{"build", "-o", out}, given...), dir)...)
		return said
	}
	good := command("cat=/run/secrets/token cat=/run/secrets/deploy.key perm=/run/secrets/token:0400 write=/opt")
	build(0, good)
	inlay(9, "run", "-q", out, "--", "/bin/program", "cat=/run/secrets/token")
	inlay(9, "run", "-q", out, "--", "/bin/program", "perm=/run:0755")
	t.Setenv("TOKEN", rand.Text())
	if said := build(0, good); !strings.Contains(said, "0 made") {
		t.Errorf("another value of a secret makes layers anew: %s", said)
	}
	t.Setenv("TOKEN", token)
	for words, want := range map[string]string{
		"copy=/run/secrets/token:/etc/kept":     `the password or token of --secret id=token is in /etc/kept of layer "local_project_install_command"`,
		"copy=/run/secrets/deploy.key:/etc/key": `the password or token of --secret id=deploy.key is in /etc/key of layer`,
		"cat=/run/secrets/token exit=3":         "ended with status 3\n  ****",
	} {
		if said := build(1, command(words)); !strings.Contains(said, want) {
			t.Errorf("%s gives %s, want %s", words, said, want)
		}
	}
	docker := func(words string) string {
		return project(t, "settings: {docker: {dockerfile: Dockerfile}}\n", map[string]string{
			".dockerignore": "*", "Dockerfile": "FROM " + parent + "\nRUN --mount=type=secret,id=token [\"/bin/program\"" + words + "]\n",
		})
	}
	reading := docker(`, "cat=/run/secrets/token", "perm=/run/secrets/token:0400", "write=/opt"`)
	build(0, reading)
	inlay(9, "run", "-q", out, "--", "/bin/program", "perm=/run:0755")
	for words, want := range map[string]string{
		`, "copy=/run/secrets/token:/etc/kept"`: "the password or token of --secret id=token is in /etc/kept of layer",
		`, "cat=/run/secrets/deploy.key"`:       "ended with status 9",
	} {
		if said := build(1, docker(words)); !strings.Contains(said, want) {
			t.Errorf("RUN%s gives %s, want %s", words, said, want)
		}
	}
	const none = "Dockerfile:2: RUN reads the secret token, and there is none\nhint: give it: `--secret id=token,src=FILE` or `--secret id=token,env=NAME`\n"
	if _, said := inlay(1, "build", "-o", out, docker(`, "write=/srv"`)); !strings.HasSuffix(said, none) {
		t.Errorf("without the secret it says %s", said)
	}
	inlay(0, "builds", "list")
	if _, said := inlay(0, append(append([]string{"build", "-o", out}, given...), "--set", `local_project_install_command=""`, good)...); !strings.Contains(said, "warning: --secret: this build has no `local_project_install_command` and") {
		t.Errorf("without a command it says %s", said)
	}
	write(t, dir+"/logs", logs)
	if n := searchFor(t, dir, token, key); n < 10 {
		t.Errorf("only %d files were searched", n)
	}
	write(t, filepath.Join(good, "left"), "x"+token)
	if said := build(1, good); !strings.Contains(said, `is in /app/left of layer "source"`) {
		t.Errorf("a secret in the source gives %s", said)
	}
}

// searchFor looks for words, also in base64, in all files below dir, and in what
// they are compressed.
func searchFor(t *testing.T, dir string, words ...string) (files int) {
	t.Helper()
	for _, w := range words {
		words = append(words, strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(w)), "="))
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, w := range words {
			if bytes.Contains(b, []byte(w)) || bytes.Contains(inflated(b), []byte(w)) {
				t.Errorf("%s holds a secret", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestGivenSecret reads what --secret names, and says what is wrong with it
// without its text.
func TestGivenSecret(t *testing.T) {
	file, empty, large := filepath.Join(t.TempDir(), "f"), filepath.Join(t.TempDir(), "e"), filepath.Join(t.TempDir(), "l")
	write(t, file, "from a file\n")
	write(t, empty, "")
	write(t, large, strings.Repeat("x", maxSecret+1))
	lookup := func(name string) (string, bool) { return "value of " + name, name == "TOKEN" }
	for _, tt := range []struct {
		text string
		want step.Secret
		err  string
	}{
		{"id=a,src=" + file, step.Secret{ID: "a", Content: []byte("from a file\n")}, ""},
		{"src=" + file + ",id=a", step.Secret{ID: "a", Content: []byte("from a file\n")}, ""},
		{"type=file,id=a.b-c_d,source=" + file, step.Secret{ID: "a.b-c_d", Content: []byte("from a file\n")}, ""},
		{"id=a,env=TOKEN", step.Secret{ID: "a", Content: []byte("value of TOKEN")}, ""},
		{"type=env,id=TOKEN", step.Secret{ID: "TOKEN", Content: []byte("value of TOKEN")}, ""},
		{"hunter2hunter2", step.Secret{}, "--secret is not understood"},
		{"token=hunter2hunter2", step.Secret{}, "--secret is not understood"},
		{"type=ssh,id=a", step.Secret{}, "--secret is not understood"},
		{"env=TOKEN", step.Secret{}, "--secret has no id that can be the name of a file"},
		{"id=../a,env=TOKEN", step.Secret{}, "--secret has no id that can be the name of a file"},
		{"id=..,env=TOKEN", step.Secret{}, "--secret has no id that can be the name of a file"},
		{"id=a,env=OTHER", step.Secret{}, "--secret id=a: the variable OTHER is not set"},
		{"id=a", step.Secret{}, "--secret id=a: the variable a is not set"},
		{"id=a,env=TOKEN,src=" + file, step.Secret{}, "--secret id=a has both src and env"},
		{"id=a,src=/no/such", step.Secret{}, "--secret id=a: open /no/such: no such file or directory"},
		{"id=a,src=" + empty, step.Secret{}, "--secret id=a is empty"},
		{"id=a,src=" + large, step.Secret{}, "--secret id=a has more than 512000 bytes"},
	} {
		got, err := givenSecret(tt.text, lookup)
		said := ""
		if err != nil {
			said, got = err.Error(), step.Secret{}
		}
		if said != tt.err || !cmp.Equal(got, tt.want) {
			t.Errorf("--secret %s gives %+v, %q, want %+v, %q", tt.text, got, said, tt.want, tt.err)
		}
	}
}

// TestSearched says what of a secret the layers are searched for.
func TestSearched(t *testing.T) {
	for text, want := range map[string][]string{
		"token\n": {"token"},
		"-----BEGIN X-----\nb3BlbnNzaC1rZXktdjEAAAA\nshort\n-----END X-----\n": {"b3BlbnNzaC1rZXktdjEAAAA"},
		"machine a.example login ann password hunter2-hunter2\n\n":             {"machine a.example login ann password hunter2-hunter2"},
		"machine a.example\nlogin ann\npassword hunter2-hunter2\n":             {"hunter2-hunter2"},
		"DEBUG=true\nTOKEN=\"0123456789abcdef\"\nurl = https://a.example/":     {"0123456789abcdef"},
		"Zm9vYmFyZm9vYmFyZm8=\nx\n":                                            {"Zm9vYmFyZm9vYmFyZm8="},
	} {
		var got []string
		for _, s := range searched(step.Secret{ID: "a", Content: []byte(text)}) {
			if s.Of != "--secret id=a" {
				t.Errorf("it is of %q", s.Of)
			}
			if strings.Contains(strings.TrimSpace(text), "\n") && s.Value == strings.TrimSpace(text) {
				continue // always
			}
			got = append(got, s.Value)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("of %q is searched for (-want +got):\n%s", text, diff)
		}
	}
}
