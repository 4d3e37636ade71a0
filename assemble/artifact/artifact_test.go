// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"inlay/assemble/artifact"
)

const (
	content = "the source"
	name    = "code_uploads/ab.tar.gz"
)

func blob(text string) artifact.Blob {
	sum := sha256.Sum256([]byte(text))
	return artifact.Blob{ReadSeeker: strings.NewReader(text), Size: int64(len(text)), SHA256: sum[:]}
}

// exercise holds what every store promises: a file is not there, then it is, and
// writing it again changes nothing.
func exercise(t *testing.T, s artifact.Store) {
	t.Helper()
	if have, err := s.Has(t.Context(), name); have || err != nil {
		t.Fatalf("Has before = %v, %v, want false", have, err)
	}
	for range 2 {
		if err := s.Put(t.Context(), name, blob(content)); err != nil {
			t.Fatalf("Put: %v", err)
		}
		if have, err := s.Has(t.Context(), name); !have || err != nil {
			t.Fatalf("Has after = %v, %v, want true", have, err)
		}
	}
}

func open(t *testing.T, at string, o artifact.Options) artifact.Store {
	t.Helper()
	s, err := artifact.Open(at, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lookup returns variables from a map.
func lookup(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func TestDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not there yet", "100%")
	at := (&url.URL{Scheme: "file", Path: dir}).String()
	exercise(t, open(t, at, artifact.Options{}))
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || string(b) != content {
		t.Errorf("the file holds %q (%v), want %q", b, err, content)
	}
	if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("its mode is %v (%v): anybody has to be able to read it", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "code_uploads"))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside it are %v (%v), want nothing", entries, err)
	}
	broken := artifact.Blob{ReadSeeker: failing{}, Size: 1}
	if err := open(t, at, artifact.Options{}).Put(t.Context(), "code_uploads/other", broken); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Put of what can't be read: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "code_uploads/other")); err == nil {
		t.Error("a file is there in part")
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var e *artifact.StoreError
	if err := open(t, at+"/file", artifact.Options{}).Put(t.Context(), name, blob(content)); !errors.As(err, &e) || e.Hint() == "" {
		t.Errorf("Put below a file: %v, want a StoreError that says what to do", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error)       { return 0, io.ErrUnexpectedEOF }
func (failing) Seek(int64, int) (int64, error) { return 0, nil }

func TestOpen(t *testing.T) {
	if _, err := artifact.Open("ftp://x", artifact.Options{}); err == nil {
		t.Error("Open(ftp://x) succeeds")
	}
}

// A bucket keeps objects by path, as a server of a cloud does.
type bucket struct {
	t       *testing.T
	mu      sync.Mutex
	objects map[string][]byte
	fail    int // so many requests
	handle  func(b *bucket, w http.ResponseWriter, r *http.Request, body []byte)
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Error(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail > 0 {
		b.fail--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	b.handle(b, w, r, body)
}

func (b *bucket) serve() string {
	b.objects = map[string][]byte{}
	s := httptest.NewServer(b)
	b.t.Cleanup(s.Close)
	return s.URL
}

func (b *bucket) check(path string) {
	b.t.Helper()
	if got := string(b.objects[path]); got != content {
		b.t.Errorf("%s holds %q, want %q", path, got, content)
	}
}

// amazonLogin is a login that no user's configuration replaces.
func amazonLogin(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_SESSION_TOKEN": "", "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
}

// TestAmazon holds that requests to S3 are signed, carry the checksum that S3
// compares, and are tried again.
func TestAmazon(t *testing.T) {
	amazonLogin(t)
	b := &bucket{t: t, fail: 1, handle: func(b *bucket, w http.ResponseWriter, r *http.Request, body []byte) {
		if got := r.Header.Get("Authorization"); !strings.HasPrefix(got, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") || !strings.Contains(got, "/eu-west-1/s3/aws4_request") {
			t.Errorf("%s %s is signed by %q", r.Method, r.URL, got)
		}
		switch {
		case r.Method == http.MethodPut:
			sum := sha256.Sum256(body)
			if got := r.Header.Get("X-Amz-Content-Sha256"); got != hex.EncodeToString(sum[:]) {
				t.Errorf("the signed digest is %s, want that of the body", got)
			}
			if got := r.Header.Get("X-Amz-Checksum-Sha256"); got != base64.StdEncoding.EncodeToString(sum[:]) {
				t.Errorf("the checksum is %q, want that of the body", got)
			}
			b.objects[r.URL.Path] = body
		case b.objects[r.URL.Path] == nil:
			w.WriteHeader(http.StatusNotFound)
		}
	}}
	exercise(t, open(t, "s3://models/team/a", artifact.Options{Endpoint: b.serve()}))
	b.check("/models/team/a/" + name)

	b = &bucket{t: t, handle: func(_ *bucket, w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(http.StatusForbidden) }}
	s := open(t, "s3://models", artifact.Options{Endpoint: b.serve()})
	if have, err := s.Has(t.Context(), name); have || err != nil {
		t.Errorf("Has where listing is forbidden = %v, %v, want false: writing will tell", have, err)
	}
	var e *artifact.StoreError
	if err := s.Put(t.Context(), name, blob(content)); !errors.As(err, &e) || !strings.Contains(e.Hint(), "AWS_PROFILE") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Put where that is forbidden: %v", err)
	}
}

// TestAmazonServer does the same with moto's server, where there is one.
func TestAmazonServer(t *testing.T) {
	program, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("no moto_server on this machine")
	}
	amazonLogin(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.CommandContext(t.Context(), program, "-H", "127.0.0.1", "-p", port)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Skipf("moto_server doesn't start: %v", err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+address+"/models", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	put.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261127/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00")
	for {
		if resp, err := http.DefaultClient.Do(put.Clone(t.Context())); err == nil {
			resp.Body.Close()
			break
		}
		select {
		case <-ended:
			t.Skipf("moto_server doesn't run here: %s", said.String())
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Setenv("AWS_REGION", "us-east-1")
	exercise(t, open(t, "s3://models/team/a", artifact.Options{Endpoint: "http://" + address}))
}

// TestGoogle holds that an object is one request that says its MD5, tried again
// if the server is busy.
func TestGoogle(t *testing.T) {
	b := &bucket{t: t, fail: 2, handle: func(b *bucket, w http.ResponseWriter, r *http.Request, body []byte) { googleObjects(b, w, r, body, "") }}
	at := b.serve()
	exercise(t, open(t, "gs://models/team a", artifact.Options{Lookup: lookup(map[string]string{"STORAGE_EMULATOR_HOST": strings.TrimPrefix(at, "http://")})}))
	b.check("models/team a/" + name)
}

// googleObjects answers as Google's JSON API does.
func googleObjects(b *bucket, w http.ResponseWriter, r *http.Request, body []byte, token string) {
	if got := r.Header.Get("Authorization"); got != token {
		b.t.Errorf("%s %s has the login %q, want %q", r.Method, r.URL, got, token)
	}
	if r.Method == http.MethodGet {
		object, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/storage/v1/b/models/o/"))
		if err != nil || b.objects["models/"+object] == nil {
			w.WriteHeader(http.StatusNotFound)
		}
		return
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/related" || r.URL.Path != "/upload/storage/v1/b/models/o" || r.URL.RawQuery != "uploadType=multipart" {
		b.t.Errorf("an upload is %s of %s to %s (%v)", r.Method, kind, r.URL, err)
	}
	m := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	var parts [][]byte
	for {
		p, err := m.NextPart()
		if err != nil {
			break
		}
		text, _ := io.ReadAll(p)
		parts = append(parts, text)
	}
	var about struct {
		Name    string `json:"name"`
		MD5Hash string `json:"md5Hash"`
	}
	if len(parts) != 2 || json.Unmarshal(parts[0], &about) != nil {
		b.t.Fatalf("an upload has the parts %q", parts)
	}
	if sum := md5.Sum(parts[1]); about.MD5Hash != base64.StdEncoding.EncodeToString(sum[:]) {
		b.t.Errorf("the MD5 is %s", about.MD5Hash)
	}
	b.objects["models/"+about.Name] = parts[1]
}

// A detour sends all requests to a server on loopback.
type detour string

func (d detour) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(string(d), "http://")
	return http.DefaultTransport.RoundTrip(r)
}

// TestGoogleLogin holds that the application default credentials are used, and
// what is said without.
func TestGoogleLogin(t *testing.T) {
	b := &bucket{t: t, handle: func(b *bucket, w http.ResponseWriter, r *http.Request, body []byte) {
		if r.URL.Path == "/token" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token": "ya29", "token_type": "Bearer", "expires_in": 3600}`)
			return
		}
		googleObjects(b, w, r, body, "Bearer ya29")
	}}
	at := b.serve()
	file := filepath.Join(t.TempDir(), "login.json")
	text := `{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r", "token_uri": "` + at + `/token"}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	exercise(t, open(t, "gs://models/p", artifact.Options{Transport: detour(at)}))
	b.check("models/p/" + name)

	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file+".lost")
	var e *artifact.StoreError
	if _, err := open(t, "gs://models/p", artifact.Options{Transport: detour(at)}).Has(t.Context(), name); !errors.As(err, &e) || !strings.Contains(e.Hint(), "GOOGLE_APPLICATION_CREDENTIALS") {
		t.Errorf("Has without a login: %v", err)
	}
}

// TestMicrosoft holds that requests to Azure are signed with the key, and that a
// blob is one request.
func TestMicrosoft(t *testing.T) {
	b := &bucket{t: t, fail: 1, handle: func(b *bucket, w http.ResponseWriter, r *http.Request, body []byte) {
		if got := r.Header.Get("Authorization"); !strings.HasPrefix(got, "SharedKey acme:") {
			t.Errorf("%s %s is signed by %q", r.Method, r.URL, got)
		}
		switch {
		case r.Method == http.MethodPut:
			if got := r.Header.Get("X-Ms-Blob-Type"); got != "BlockBlob" || r.URL.RawQuery != "" {
				t.Errorf("%s is a %q", r.URL, got)
			}
			b.objects[r.URL.Path] = body
			w.WriteHeader(http.StatusCreated)
		case b.objects[r.URL.Path] == nil:
			w.Header().Set("X-Ms-Error-Code", "BlobNotFound")
			w.WriteHeader(http.StatusNotFound)
		}
	}}
	login := "DefaultEndpointsProtocol=http;AccountName=acme;AccountKey=aHVudGVyMg==;BlobEndpoint=" + b.serve() + "/acme;"
	exercise(t, open(t, "az://models/p", artifact.Options{Lookup: lookup(map[string]string{"AZURE_STORAGE_CONNECTION_STRING": login})}))
	b.check("/acme/models/p/" + name)

	var e *artifact.StoreError
	if _, err := open(t, "az://models/p", artifact.Options{}).Has(t.Context(), name); !errors.As(err, &e) || !strings.Contains(err.Error(), "nothing says which storage account") {
		t.Errorf("Has without an account: %v", err)
	}
	if _, err := open(t, "az://models/p", artifact.Options{Lookup: lookup(map[string]string{"AZURE_STORAGE_ACCOUNT": "acme", "AZURE_STORAGE_KEY": "hunter2!"})}).Has(t.Context(), name); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Has with a key that is none: %v", err)
	}
}

// TestMicrosoftLogins holds that other logins than connection strings are used
// too.
func TestMicrosoftLogins(t *testing.T) {
	for _, tt := range []struct {
		vars map[string]string
		want string
	}{
		{map[string]string{"AZURE_STORAGE_ACCOUNT": "acme", "AZURE_STORAGE_KEY": "aHVudGVyMg=="}, "SharedKey acme:"},
		{map[string]string{"AZURE_STORAGE_ACCOUNT_NAME": "acme", "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=x"}, ""},
	} {
		b := &bucket{t: t, handle: func(_ *bucket, w http.ResponseWriter, r *http.Request, _ []byte) {
			if got := r.Header.Get("Authorization"); !strings.HasPrefix(got, tt.want) || tt.want == "" && r.URL.RawQuery != "sig=x&sv=1" && r.URL.RawQuery != "sv=1&sig=x" {
				t.Errorf("with %v, %s has the login %q", tt.vars, r.URL, got)
			}
		}}
		if have, err := open(t, "az://models/p", artifact.Options{Lookup: lookup(tt.vars), Transport: detour(b.serve())}).Has(t.Context(), name); !have || err != nil {
			t.Errorf("Has with %v = %v, %v", tt.vars, have, err)
		}
	}
}
