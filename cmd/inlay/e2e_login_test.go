// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestE2ELogin pushes to a registry that wants TLS and a password, and builds
// on what is there: with each way to log in, and with none.
func TestE2ELogin(t *testing.T) {
	e := e2e(t)
	dir := t.TempDir()
	script := filepath.Join(e.scripts, "registry.sh")
	host := strings.TrimSpace(must(t, []string{"TLS=1", "AUTH=ann:s3cret"}, script, "start", dir).stdout)
	t.Cleanup(func() { exec.Command(script, "stop", dir).Run() })
	home := t.TempDir()
	auth := base64.StdEncoding.EncodeToString([]byte("ann:s3cret"))
	write(t, home+"/docker/config.json", fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, auth))
	write(t, home+"/helper/config.json", fmt.Sprintf(`{"credHelpers":{%q:"e2e"}}`, host))
	write(t, home+"/bin/docker-credential-e2e", "#!/bin/sh\nread host\necho '{\"ServerURL\":\"'$host'\",\"Username\":\"ann\",\"Secret\":\"s3cret\"}'\n")
	if err := os.Chmod(home+"/bin/docker-credential-e2e", 0o755); err != nil {
		t.Fatal(err)
	}
	ca := "SSL_CERT_FILE=" + dir + "/ca.crt"
	tests := []struct {
		name string
		env  []string
		args []string
		err  string
	}{
		{"docker login", []string{ca, "DOCKER_CONFIG=" + home + "/docker"}, nil, ""},
		{"podman login", []string{ca, "REGISTRY_AUTH_FILE=" + home + "/docker/config.json"}, nil, ""},
		{"a credential helper", []string{ca, "DOCKER_CONFIG=" + home + "/helper", "PATH=" + home + "/bin:" + os.Getenv("PATH")}, nil, ""},
		{"any certificate", []string{"DOCKER_CONFIG=" + home + "/docker"}, []string{"--insecure-registry", host}, ""},
		{"no trust", []string{"DOCKER_CONFIG=" + home + "/docker"}, nil, "give --insecure-registry " + host},
		{"no login", []string{ca}, nil, "log in to " + host},
	}
	source := project(t, "", map[string]string{"main.py": ""})
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			env := append([]string{"INLAY_CACHE_DIR=" + e.cache, "HOME=" + home, "DOCKER_CONFIG=", "XDG_RUNTIME_DIR="}, tt.env...)
			tag := fmt.Sprintf("%s/team/app:%d", host, i)
			push := command(t, env, e.program, append([]string{"build", "--push", "--parent-image", e.parent("debian"), "-t", tag, source}, tt.args...)...)
			if tt.err != "" {
				if push.err == nil || !strings.Contains(push.stderr, tt.err) {
					t.Errorf("build: %v, %q, want an error with %q", push.err, push.stderr, tt.err)
				}
				return
			}
			if push.err != nil {
				t.Fatalf("build: %v\n%s", push.err, push.stderr)
			}
			must(t, env, e.program, append([]string{"plan", "--parent-image", tag, source}, tt.args...)...)
			if strings.Contains(push.stdout+push.stderr, "s3cret") {
				t.Errorf("build prints the password: %s%s", push.stdout, push.stderr)
			}
		})
	}
}
