// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The credentials of the private index hold letters that URLs escape.
const (
	indexUser     = "ann@corp.example"
	indexPassword = "s3cr3t/p@ss:w+rd%"
)

// A privateIndex is a package index on loopback that wants TLS and a password.
type privateIndex struct {
	*httptest.Server
	dir     string // of its files
	ca      string // file of the authority that signed its certificate
	refused func() int64
}

// newPrivateIndex serves some real wheels, and uv.
func newPrivateIndex(t *testing.T) *privateIndex {
	t.Helper()
	ix := &privateIndex{dir: t.TempDir()}
	ix.ca = filepath.Join(ix.dir, "ca.pem")
	files := filepath.Join(ix.dir, "files")
	pip := []string{"-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", files}
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	must(t, nil, "python3", append(pip, "six", "idna")...)
	must(t, nil, "python3", append(pip, "--platform", "musllinux_1_1_"+machine, "uv==0.13.9")...)
	var refused atomic.Int64
	ix.refused = refused.Load
	ix.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != indexUser || password != indexPassword {
			refused.Add(1)
			w.Header().Set("WWW-Authenticate", `Basic realm="corp"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		if project, ok := strings.CutPrefix(r.URL.Path, "/simple/"); ok {
			ix.page(w, strings.Trim(project, "/"))
			return
		}
		http.FileServer(http.Dir(ix.dir)).ServeHTTP(w, r)
	}))
	ix.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, ix.ca)}, MinVersion: tls.VersionTLS12}
	ix.Config.ErrorLog = nil
	ix.StartTLS()
	t.Cleanup(ix.Close)
	return ix
}

// page lists the files of a project (PEP 503).
func (ix *privateIndex) page(w http.ResponseWriter, project string) {
	names, _ := filepath.Glob(filepath.Join(ix.dir, "files", project+"-*"))
	if len(names) == 0 {
		http.Error(w, "no such project", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/html")
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		sum := sha256.Sum256(b)
		fmt.Fprintf(w, "<a href=\"../../files/%s#sha256=%s\">%[1]s</a>\n", filepath.Base(name), hex.EncodeToString(sum[:]))
	}
}

// withUser returns the URL of a path of the index with user and password.
func (ix *privateIndex) withUser(path string) string {
	u, _ := url.Parse(ix.URL + path)
	u.User = url.UserPassword(indexUser, indexPassword)
	return u.String()
}

// certificate makes an authority, writes it to a file, and returns a certificate
// for loopback that it signed.
func certificate(t *testing.T, file string) tls.Certificate {
	t.Helper()
	begin := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tests"}, NotBefore: begin, NotAfter: begin.AddDate(79, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: begin, NotAfter: authority.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	top, own := key(), key()
	signed, err := x509.CreateCertificate(rand.Reader, authority, authority, &top.PublicKey, top)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})))
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, &own.PublicKey, top)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: own}
}

// keyringProgram answers as the program keyring does, for one URL and user.
func keyringProgram(t *testing.T, url string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir+"/keyring", fmt.Sprintf("#!/bin/sh\n[ \"$*\" = 'get %s %s' ] || exit 1\necho '%s'\n", url, indexUser, indexPassword))
	if err := os.Chmod(dir+"/keyring", 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A way is one to give credentials.
type way struct {
	name     string
	settings string // below settings.docker
	files    map[string]string
	env      []string
	args     []string
}

func (ix *privateIndex) ways(t *testing.T) []way {
	t.Helper()
	simple, login := ix.URL+"/simple", indexUser+":"+indexPassword
	home := t.TempDir()
	write(t, home+"/netrc", fmt.Sprintf("machine %s\nlogin %s\npassword %s\n", "127.0.0.1", indexUser, indexPassword))
	write(t, home+"/login", login+"\n")
	const list = "    requirements: [six, idna]\n"
	six, _ := filepath.Glob(filepath.Join(ix.dir, "files", "six-*.whl"))
	if len(six) != 1 {
		t.Fatalf("pip downloaded %q of six, want one file", six)
	}
	return []way{
		{"a variable that the settings name", list + "    indexes: [{name: corp, url: " + simple + ", default: true, auth: env:CORP_LOGIN}]\n", nil, []string{"CORP_LOGIN=" + login}, nil},
		{"a file that the settings name", list + "    indexes: [{name: corp, url: " + simple + ", auth: file:" + home + "/login}]\n", nil, nil, nil},
		{"variables by the name of the index", list + "    indexes: [{name: corp, url: " + simple + "}]\n", nil, []string{"UV_INDEX_CORP_USERNAME=" + indexUser, "UV_INDEX_CORP_PASSWORD=" + indexPassword}, nil},
		{"pip's variable", list, nil, []string{"PIP_EXTRA_INDEX_URL=" + ix.withUser("/simple")}, nil},
		{"netrc", list + "    indexes: [" + simple + "]\n", nil, []string{"NETRC=" + home + "/netrc"}, nil},
		{
			"keyring", list + "    indexes: [{url: '" + strings.Replace(simple, "://", "://"+url.PathEscape(indexUser)+"@", 1) + "', auth: keyring}]\n",
			nil,
			[]string{"PATH=" + keyringProgram(t, simple) + ":" + os.Getenv("PATH")},
			nil,
		},
		{"a flag", list, nil, nil, []string{"--index-url", ix.withUser("/simple")}},
		{"environment", list + "    environment: {PIP_INDEX_URL: '${CORP_URL}', A: '1'}\n", nil, []string{"CORP_URL=" + ix.withUser("/simple")}, nil},
		{
			"lines of a requirements file", "    requirements: r.txt\n    build_config: {dockerignore: ignored}\n", map[string]string{
				"ignored": "r.txt\nignored\n",
				"r.txt":   "-i " + ix.withUser("/simple") + "\nidna\nsix @ " + ix.withUser("/files/"+filepath.Base(six[0])) + "\n",
			}, nil, nil,
		},
	}
}

// TestE2EPrivateIndex installs from an index that wants TLS and a password: with
// each way to give it the password works, and is nowhere afterwards.
func TestE2EPrivateIndex(t *testing.T) {
	e := e2e(t)
	t.Parallel()
	ix := newPrivateIndex(t)
	for i, w := range ix.ways(t) {
		t.Run(w.name, func(t *testing.T) {
			dir := project(t, "settings:\n  docker:\n    parent_image: "+e.parent("debian")+"\n"+w.settings, w.files)
			write(t, dir+"/main.py", "import six, idna; print('ok')\n")
			made := t.TempDir()
			env := ix.environ(t, made+"/cache", w.env...)
			args := append([]string{dir}, w.args...)
			built := must(t, env, e.program, append([]string{"build", "-o", "oci:" + made + "/image"}, args...)...)
			planned := must(t, env, e.program, append([]string{"plan", "--format", "json"}, args...)...)
			again := must(t, env, e.program, append([]string{"build", "--offline", "--progress", "json", "-o", "oci:" + made + "/again"}, args...)...)
			for name, o := range map[string]outcome{"build": built, "plan": planned, "again": again} {
				write(t, made+"/logs/"+name, o.stdout+o.stderr)
			}
			if w.name == "environment" {
				if !strings.Contains(built.stderr, "settings.docker.environment.PIP_INDEX_URL: its credentials were used") {
					t.Errorf("no warning names the variable: %s", built.stderr)
				}
				if strings.Contains(planned.stdout, "PIP_INDEX_URL") || !strings.Contains(planned.stdout, `"A=1"`) {
					t.Error("the plan has the variable, or lacks another")
				}
			}
			if strings.TrimPrefix(built.stdout, "oci:"+made+"/image") != strings.TrimPrefix(again.stdout, "oci:"+made+"/again") {
				t.Errorf("the first build made %s, one without a network %s", built.stdout, again.stdout)
			}
			if files := searchAll(t, made); files < 40 {
				t.Errorf("only %d files were searched", files)
			}
			for _, file := range []string{"/files/six-", "/files/idna-"} {
				if !strings.Contains(planned.stdout, `"url": "`+ix.URL+file) {
					t.Errorf("the plan names no %s: %s", ix.URL+file, planned.stdout)
				}
			}
			if i > 0 {
				return // the same wheels as before
			}
			got := e.podman(t, made+"/image", "python3", "main.py")
			if got.err != nil || got.stdout != "ok\n" {
				t.Errorf("the image prints %q, %v %s", got.stdout, got.err, got.stderr)
			}
		})
	}
}

// environ is the environment of commands that ask the index: nothing of this
// machine's own indexes, and an authority that only the index has.
func (ix *privateIndex) environ(t *testing.T, cache string, more ...string) []string {
	t.Helper()
	env := []string{"INLAY_CACHE_DIR=" + cache, "HOME=" + t.TempDir(), "SSL_CERT_FILE=" + ix.ca, "SSL_CERT_DIR=", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1", "NETRC="}
	for _, name := range []string{"UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"} {
		env = append(env, name+"=")
	}
	return append(env, more...)
}

// TestE2EPrivateIndexLeak plants the password in the source, and gives a wrong
// one.
func TestE2EPrivateIndexLeak(t *testing.T) {
	e := e2e(t)
	ix := newPrivateIndex(t)
	dir := project(t, "settings:\n  docker:\n    parent_image: "+e.parent("debian")+`
    requirements: [six]
    indexes: [{name: corp, url: `+ix.URL+`/simple, auth: env:CORP_LOGIN}]
`, map[string]string{"main.py": "", "conf/pip.conf": "[global]\nindex-url = " + ix.withUser("/simple") + "\n"})
	made := t.TempDir()
	fails := func(login, problem, hint string) {
		t.Helper()
		got := command(t, ix.environ(t, made+"/cache", "CORP_LOGIN="+login), e.program, "build", "--refresh", "-o", "oci:"+made+"/image", dir)
		if got.status() != 1 || !strings.Contains(got.stderr, problem) || !strings.Contains(got.stderr, hint) {
			t.Errorf("build: %v, %s\nwant status 1, %q and %q", got.err, got.stderr, problem, hint)
		}
		write(t, made+"/logs/"+problem[:5], got.stdout+got.stderr)
		if _, err := os.Stat(made + "/image/index.json"); err == nil {
			t.Error("an image was written")
		}
	}
	fails(indexUser+":"+indexPassword, `error: the password or token of corp is in /app/conf/pip.conf of layer "source"`, "leave the file out with .dockerignore")
	searchAll(t, made)
	fails(indexUser+":wrong-passw0rd", "six was not found", "check user and password of corp")
	if ix.refused() == 0 {
		t.Error("the index refused nothing")
	}
}

// innocent has the digests of what was searched for the password, which is the
// same in all tests, and doesn't hold it: the parent is in every image.
var innocent sync.Map

// searchAll fails for every file below dir, and every name, that holds the
// password in some form. It looks into what gzip compressed. It returns how many
// files there are, of which one that it adds itself must not pass.
func searchAll(t *testing.T, dir string) (files int) {
	t.Helper()
	basic := base64.StdEncoding.EncodeToString([]byte(indexUser + ":" + indexPassword))
	forms := []string{
		indexPassword, url.QueryEscape(indexPassword), url.PathEscape(indexPassword), strings.TrimPrefix(url.UserPassword("", indexPassword).String(), ":"),
		strings.TrimRight(basic, "="), strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(indexPassword)), "="),
	}
	holds := func(b []byte) string {
		for _, plain := range [][]byte{b, inflated(b)} {
			for i, f := range forms {
				if bytes.Contains(plain, []byte(f)) {
					return fmt.Sprintf("form %d", i)
				}
			}
		}
		return ""
	}
	for i, f := range forms {
		var planted bytes.Buffer
		zw := gzip.NewWriter(&planted)
		_, _ = io.WriteString(zw, "some text "+f+" and more")
		zw.Close()
		if holds(planted.Bytes()) == "" || holds([]byte("x"+f)) == "" {
			t.Fatalf("the search doesn't find form %d", i)
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if found := holds([]byte(d.Name())); found != "" {
			t.Errorf("a name below %s holds the password (%s)", filepath.Dir(path), found)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		sum := sha256.Sum256(b)
		if _, found := innocent.Load(sum); found {
			return nil
		}
		if found := holds(b); found != "" {
			t.Errorf("%s holds the password (%s)", path, found)
			return nil
		}
		innocent.Store(sum, true)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return files
}

// inflated returns what gzip compressed, as far as it goes; nil if it didn't.
func inflated(b []byte) []byte {
	zr, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	plain, _ := io.ReadAll(zr)
	return plain
}
