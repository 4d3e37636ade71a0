// SPDX-License-Identifier: Apache-2.0

package login_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/oauth2"

	"inlay/cmd/inlay/login"
)

// machine is one where nobody has logged in to anything. It returns the home.
func machine(t *testing.T) string {
	t.Helper()
	for _, kv := range os.Environ() {
		key, _, _ := strings.Cut(kv, "=")
		for _, prefix := range []string{"AWS_", "AZURE_", "GOOGLE_", "GCE_", "GITHUB_", "CLOUDSDK_", "DOCKER_", "XDG_", "REGISTRY_", "IDENTITY_", "MSI_", "IMDS_"} {
			if strings.HasPrefix(key, prefix) {
				t.Setenv(key, "")
				os.Unsetenv(key)
			}
		}
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("DOCKER_CONFIG", filepath.Join(home, ".docker")) // the library looks up HOME once
	t.Setenv("PATH", filepath.Join(home, "bin"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	return home
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// resolve returns what a keychain has for a repository of host.
func resolve(ctx context.Context, t *testing.T, keys authn.Keychain, host string) (authn.AuthConfig, error) {
	t.Helper()
	repo, err := name.NewRepository(host + "/team/app")
	if err != nil {
		t.Fatal(err)
	}
	a, err := authn.Resolve(ctx, keys, repo)
	if err != nil {
		return authn.AuthConfig{}, err
	}
	c, err := authn.Authorization(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	c.Auth = ""
	return *c, nil
}

// A web answers requests in place of the network.
type web struct {
	asked  []string
	answer func(*http.Request) string // "" is 404
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(b)
		r.Body = io.NopCloser(strings.NewReader(body))
	}
	w.asked = append(w.asked, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+body))
	resp := &http.Response{StatusCode: 200, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, Header: http.Header{"Content-Type": {"application/json"}}}
	text := w.answer(r)
	if text == "" {
		resp.StatusCode, resp.Status = 404, "404 Not Found"
	}
	resp.Body = io.NopCloser(strings.NewReader(text))
	return resp, nil
}

func silent(t *testing.T) *web {
	return &web{answer: func(r *http.Request) string { t.Errorf("asked %s %s", r.Method, r.URL); return "" }}
}

// TestFiles has a machine for each place where docker login and podman login
// keep what they know.
func TestFiles(t *testing.T) {
	file := func(user, password string) string {
		return fmt.Sprintf(`{"auths":{"r.example":{"auth":%q}}}`, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	}
	helper := func(answer string) string {
		return "#!/bin/sh\nread host\n[ \"$1 $host\" = 'get r.example' ] || { echo 'credentials not found in native keychain'; exit 1; }\n" + answer + "\n"
	}
	tests := []struct {
		name  string
		files map[string]string
		env   map[string]string // values are in the home
		want  authn.AuthConfig
		err   string
	}{
		{name: "nothing"},
		{name: "docker login", files: map[string]string{".docker/config.json": file("ann", "s3")}, want: authn.AuthConfig{Username: "ann", Password: "s3"}},
		{
			name: "DOCKER_CONFIG", files: map[string]string{"d/config.json": file("ann", "s3")}, env: map[string]string{"DOCKER_CONFIG": "d"},
			want: authn.AuthConfig{Username: "ann", Password: "s3"},
		},
		{
			name: "podman login", files: map[string]string{"run/containers/auth.json": file("pod", "man")}, env: map[string]string{"XDG_RUNTIME_DIR": "run"},
			want: authn.AuthConfig{Username: "pod", Password: "man"},
		},
		{
			name: "podman's older place", files: map[string]string{".config/containers/auth.json": file("pod", "man")},
			want: authn.AuthConfig{Username: "pod", Password: "man"},
		},
		{
			name: "REGISTRY_AUTH_FILE", files: map[string]string{"auth": file("pod", "man")}, env: map[string]string{"REGISTRY_AUTH_FILE": "auth"},
			want: authn.AuthConfig{Username: "pod", Password: "man"},
		},
		{
			name: "a helper for one registry", want: authn.AuthConfig{Username: "help", Password: "er"},
			files: map[string]string{
				".docker/config.json":        `{"credHelpers":{"r.example":"test"}}`,
				"bin/docker-credential-test": helper(`echo '{"ServerURL":"r.example","Username":"help","Secret":"er"}'`),
			},
		},
		{
			name: "a helper for all, with an identity token", want: authn.AuthConfig{IdentityToken: "refresh"},
			files: map[string]string{
				".docker/config.json":        `{"credsStore":"test"}`,
				"bin/docker-credential-test": helper(`echo '{"ServerURL":"r.example","Username":"<token>","Secret":"refresh"}'`),
			},
		},
		{
			name: "a helper that knows nothing",
			files: map[string]string{
				".docker/config.json":        `{"credsStore":"test"}`,
				"bin/docker-credential-test": helper("echo 'credentials not found in native keychain'; exit 1"),
			},
		},
		{
			name: "a helper that fails", err: "out: `locked`",
			files: map[string]string{
				".docker/config.json":        `{"credsStore":"test"}`,
				"bin/docker-credential-test": helper("echo locked; exit 1"),
			},
		},
		{name: "a helper that isn't there", files: map[string]string{".docker/config.json": `{"credsStore":"test"}`}, err: "docker-credential-test"},
		{name: "a broken file", files: map[string]string{".docker/config.json": `{"auths":`}, err: "config.json"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			home := machine(t)
			for name, content := range tt.files {
				write(t, filepath.Join(home, name), content, 0o755)
			}
			for key, value := range tt.env {
				t.Setenv(key, filepath.Join(home, value))
			}
			got, err := resolve(t.Context(), t, login.Keychain(login.Options{Transport: silent(t)}), "r.example")
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("Resolve = %v, want an error with %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Resolve (-want +got):\n%s", diff)
			}
		})
	}
}

// Clouds hear of nobody else's registries, whatever logins there are.
func TestCloudsAreAskedForTheirOwn(t *testing.T) {
	machine(t)
	t.Setenv("GITHUB_TOKEN", "ghp")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("GCE_METADATA_HOST", "127.0.0.1:1")
	keys := login.Keychain(login.Options{Transport: silent(t)})
	for _, host := range []string{
		"index.docker.io", "quay.io", "127.0.0.1:5000", "ghcr.io.example", "notghcr.io", "notgcr.io", "gcr.io.example", "azurecr.io.example",
		"xazurecr.io", "mcr.microsoft.com", "public.ecr.aws", "1234.dkr.ecr.eu-west-1.amazonaws.com", "123456789012.dkr.ecr.eu-west-1.amazonaws.com.example",
	} {
		if got, err := resolve(t.Context(), t, keys, host); err != nil || got != (authn.AuthConfig{}) {
			t.Errorf("Resolve(%s) = %v, %v, want none", host, got, err)
		}
	}
}

func TestAmazon(t *testing.T) {
	machine(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	tests := []struct{ host, asked string }{
		{"123456789012.dkr.ecr.eu-west-1.amazonaws.com", "https://api.ecr.eu-west-1.amazonaws.com/"},
		{"123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "https://api.ecr-fips.us-east-1.amazonaws.com/"},
		{"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "https://api.ecr.cn-north-1.amazonaws.com.cn/"},
		{"123456789012.dkr-ecr.eu-west-1.on.aws", "https://api.ecr.eu-west-1.amazonaws.com/"},
	}
	for _, tt := range tests {
		w := &web{answer: func(r *http.Request) string {
			if a := r.Header.Get("Authorization"); !strings.Contains(a, "AKID/") || r.Header.Get("X-Amz-Target") != "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" {
				t.Errorf("%s: asked for %s with %s", tt.host, r.Header.Get("X-Amz-Target"), a)
			}
			return `{"authorizationData":[{"authorizationToken":"` + base64.StdEncoding.EncodeToString([]byte("AWS:pw")) + `"}]}`
		}}
		keys := login.Keychain(login.Options{Transport: w})
		for range 2 { // and is asked once
			got, err := resolve(t.Context(), t, keys, tt.host)
			if want := (authn.AuthConfig{Username: "AWS", Password: "pw"}); err != nil || got != want {
				t.Errorf("Resolve(%s) = %v, %v, want %v", tt.host, got, err, want)
			}
		}
		if want := []string{"POST " + tt.asked + ` {}`}; !cmp.Equal(want, w.asked) {
			t.Errorf("asked %q, want %q", w.asked, want)
		}
	}
}

// ECR has nothing for anybody: a login that can't be had is an error.
func TestAmazonFails(t *testing.T) {
	const host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
	tests := []struct {
		name, profile, answer, want string
	}{
		{"no credentials", "", "", "asking AWS for a token: "},
		{"no such profile", "nobody", "", "reading AWS's configuration: failed to get shared config profile, nobody"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			machine(t)
			if tt.profile != "" {
				t.Setenv("AWS_PROFILE", tt.profile)
			}
			if _, err := resolve(t.Context(), t, login.Keychain(login.Options{Transport: silent(t)}), host); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("Resolve = %v, want %s", err, tt.want)
			}
		})
	}
}

func TestMicrosoft(t *testing.T) {
	machine(t)
	t.Setenv("AZURE_TENANT_ID", "11111111-2222-3333-4444-555555555555")
	t.Setenv("AZURE_CLIENT_ID", "app")
	t.Setenv("AZURE_CLIENT_SECRET", "secret")
	w := &web{answer: func(r *http.Request) string {
		switch {
		case strings.HasSuffix(r.URL.Path, "/discovery/instance"):
			return `{"tenant_discovery_endpoint":"https://login.microsoftonline.com/t/v2.0/.well-known/openid-configuration","metadata":[{"preferred_network":"login.microsoftonline.com","preferred_cache":"login.windows.net","aliases":["login.microsoftonline.com"]}]}`
		case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
			return `{"authorization_endpoint":"https://login.microsoftonline.com/a","token_endpoint":"https://login.microsoftonline.com/token","issuer":"https://login.microsoftonline.com/t/v2.0"}`
		case r.URL.Path == "/token":
			return `{"token_type":"Bearer","expires_in":3600,"access_token":"azure"}`
		case r.URL.String() == "https://team.azurecr.io/oauth2/exchange":
			return `{"refresh_token":"refresh"}`
		}
		return ""
	}}
	got, err := resolve(t.Context(), t, login.Keychain(login.Options{Transport: w}), "team.azurecr.io")
	if want := (authn.AuthConfig{Username: "<token>", IdentityToken: "refresh"}); err != nil || got != want {
		t.Errorf("Resolve = %v, %v, want %v; asked %q", got, err, want, w.asked)
	}
	const exchange = "POST https://team.azurecr.io/oauth2/exchange access_token=azure&grant_type=access_token&service=team.azurecr.io"
	if n := len(w.asked); n == 0 || w.asked[n-1] != exchange {
		t.Errorf("asked %q, want %s last", w.asked, exchange)
	}
	w.answer = func(*http.Request) string { return "" }
	if got, err := resolve(t.Context(), t, login.Keychain(login.Options{Transport: w}), "other.azurecr.io"); err != nil || got != (authn.AuthConfig{}) {
		t.Errorf("with a login that Azure refuses Resolve = %v, %v, want none", got, err)
	}
}

func TestGoogle(t *testing.T) {
	home := machine(t)
	write(t, filepath.Join(home, "adc.json"), `{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r"}`, 0o600)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(home, "adc.json"))
	w := &web{answer: func(*http.Request) string { return `{"access_token":"goog","token_type":"Bearer","expires_in":3600}` }}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: w})
	keys := login.Keychain(login.Options{})
	for _, host := range []string{"gcr.io", "eu.gcr.io", "europe-docker.pkg.dev"} {
		got, err := resolve(ctx, t, keys, host)
		if want := (authn.AuthConfig{Username: "_token", Password: "goog"}); err != nil || got != want {
			t.Errorf("Resolve(%s) = %v, %v, want %v", host, got, err, want)
		}
	}
	if len(w.asked) != 3 || !strings.HasPrefix(w.asked[0], "POST https://oauth2.googleapis.com/token ") {
		t.Errorf("asked %q, want the token's server once a registry", w.asked)
	}
}

func TestGcloud(t *testing.T) {
	home := machine(t)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(home, "none.json"))
	write(t, filepath.Join(home, "bin/gcloud"), "#!/bin/sh\necho '{\"credential\":{\"access_token\":\"cli\",\"token_expiry\":\"2099-01-01T00:00:00Z\"}}'\n", 0o755)
	got, err := resolve(t.Context(), t, login.Keychain(login.Options{}), "gcr.io")
	if want := (authn.AuthConfig{Username: "_token", Password: "cli"}); err != nil || got != want {
		t.Errorf("Resolve = %v, %v, want %v", got, err, want)
	}
}

func TestGitHub(t *testing.T) {
	machine(t)
	keys := login.Keychain(login.Options{})
	if got, err := resolve(t.Context(), t, keys, "ghcr.io"); err != nil || got != (authn.AuthConfig{}) {
		t.Errorf("without a token Resolve = %v, %v, want none", got, err)
	}
	t.Setenv("GITHUB_TOKEN", "ghp")
	t.Setenv("GITHUB_ACTOR", "ann")
	got, err := resolve(t.Context(), t, login.Keychain(login.Options{}), "ghcr.io")
	if want := (authn.AuthConfig{Username: "ann", Password: "ghp"}); err != nil || got != want {
		t.Errorf("Resolve = %v, %v, want %v", got, err, want)
	}
}

// A cloud that doesn't answer holds nobody up: a server that takes connections
// and says nothing stands for the metadata servers.
func TestCloudIsSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tests := []struct{ host, err string }{
		{"gcr.io", ""},
		{"team.azurecr.io", ""},
		{"123456789012.dkr.ecr.eu-west-1.amazonaws.com", "no login within 100ms"},
	}
	for _, tt := range tests {
		t.Run(tt.host, func(t *testing.T) {
			machine(t)
			t.Setenv("GCE_METADATA_HOST", l.Addr().String())
			t.Setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://"+l.Addr().String())
			t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+l.Addr().String())
			begin := time.Now()
			got, err := resolve(t.Context(), t, login.Keychain(login.Options{Timeout: 100 * time.Millisecond}), tt.host)
			if got != (authn.AuthConfig{}) || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("Resolve = %v, %v, want none and the error %q", got, err, tt.err)
			}
			if d := time.Since(begin); d > 5*time.Second {
				t.Errorf("it took %v", d)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := resolve(ctx, t, login.Keychain(login.Options{}), tt.host); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled, Resolve = %v", err)
			}
		})
	}
}
