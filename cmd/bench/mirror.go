// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// A mirror is Debian's archive on loopback. It asks the archives that this
// machine's apt uses for each file once. Packages are kept from run to run,
// indexes as long as the run: all who are measured see the same ones.
type mirror struct {
	packages, indexes string            // directories
	archives          map[string]string // URLs, by the name of their directory
	suites            map[string][]string
	server            *httptest.Server
	missing           sync.Map
	fetched           atomic.Int64 // files that were not on this machine
}

// keyring is where Debian keeps the keys of its archive.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// newMirror serves the suite, its updates and its security updates.
func newMirror(ctx context.Context, b *bench, suite string) (*mirror, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages").Output()
	if err != nil {
		return nil, fmt.Errorf("asking apt for its archives: %w", err)
	}
	m := &mirror{packages: filepath.Join(b.dir, "debs"), indexes: filepath.Join(b.work, "indexes")}
	m.archives, m.suites = archives(string(out), suite)
	if len(m.archives) == 0 {
		return nil, fmt.Errorf("this machine's apt has no archive of %s on the web: it has to be a Debian %s", suite, suite)
	}
	m.server = httptest.NewServer(m)
	b.closers = append(b.closers, m.server.Close)
	return m, nil
}

// archives finds those of a suite in lines of a release and a URL.
func archives(targets, suite string) (urls map[string]string, suites map[string][]string) {
	urls, suites = map[string]string{}, map[string][]string{}
	for line := range strings.Lines(targets) {
		release, url, _ := strings.Cut(strings.TrimSpace(line), " ")
		part, ok := strings.CutPrefix(release, suite)
		if !ok || !slices.Contains([]string{"", "-updates", "-security"}, part) || !strings.HasPrefix(url, "http") {
			continue
		}
		url = strings.TrimSuffix(url, "/")
		name := path.Base(url)
		if urls[name] == "" {
			urls[name] = url
		}
		if urls[name] == url && !slices.Contains(suites[name], release) {
			suites[name] = append(suites[name], release)
		}
	}
	return urls, suites
}

// url is that of the archive with the suite itself.
func (m *mirror) url(suite string) string {
	for name, all := range m.suites {
		if slices.Contains(all, suite) {
			return m.server.URL + "/" + name
		}
	}
	return m.server.URL
}

// sources describes the mirror to apt.
func (m *mirror) sources() string {
	var all []string
	for name, suites := range m.suites {
		all = append(all, fmt.Sprintf("Types: deb\nURIs: %s/%s\nSuites: %s\nComponents: main\nSigned-By: %s\n", m.server.URL, name, strings.Join(suites, " "), keyring))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(path.Clean(r.URL.Path), "/"), "/")
	base := m.archives[name]
	if _, known := m.missing.Load(r.URL.Path); known || base == "" || rest == "" {
		http.NotFound(w, r)
		return
	}
	dir := m.indexes
	if strings.HasPrefix(rest, "pool/") {
		dir = m.packages
	}
	file := filepath.Join(dir, name, filepath.FromSlash(rest))
	if _, err := os.Stat(file); err != nil {
		status, err := m.fetch(r.Context(), base+"/"+rest, file)
		if status == http.StatusNotFound {
			m.missing.Store(r.URL.Path, true)
		}
		if err != nil {
			http.Error(w, err.Error(), status)
			return
		}
	}
	http.ServeFile(w, r, file)
}

// fetch downloads a file whole or not at all. With an error comes the status
// that says it.
func (m *mirror) fetch(ctx context.Context, url, file string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return http.StatusBadRequest, err
	}
	resp, err := http.DefaultClient.Do(req) //nolint:gosec // below the URL of an archive that apt uses
	if err != nil {
		return http.StatusBadGateway, err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing depends on it
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, fmt.Errorf("the archive answers %s", resp.Status)
	}
	if err := keep(file, resp.Body); err != nil {
		return http.StatusBadGateway, err
	}
	m.fetched.Add(1)
	return http.StatusOK, nil
}

func keep(file string, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // a directory like any other
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".part-")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
