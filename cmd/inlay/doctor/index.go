// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Index asks a package index for the page of uv, which is what inlay itself
// would fetch from it. The transport adds credentials: the URL holds none.
func Index(ctx context.Context, rt http.RoundTripper, index, fix string) Finding {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(index, "/")+"/uv/", nil)
	if err != nil {
		return Finding{Status: Problem, Found: "there is an index that can't be asked", Fix: fix}
	}
	resp, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // it names the page
		}
		return Finding{Status: Problem, Found: fmt.Sprintf("%s doesn't answer: %v", index, err), Fix: fix}
	}
	_ = resp.Body.Close() // the answer is enough
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound:
		return Finding{Status: Note, Found: index + " answers, and doesn't have uv", Fix: "install uv, if it is not on the PATH"}
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return Finding{Status: Problem, Found: fmt.Sprintf("%s answers %s", index, resp.Status), Fix: "check the user and password for it, in its URL, ~/.netrc or the keyring"}
	case code != http.StatusOK:
		return Finding{Status: Problem, Found: fmt.Sprintf("%s answers %s", index, resp.Status), Fix: fix}
	default:
		return Finding{Status: OK, Found: index + " answers"}
	}
}

// IndexByUV lets uv look for the newest pip in its own index.
func (m Machine) IndexByUV(ctx context.Context, uv, fix string) []Finding {
	if _, err := m.LookPath("python3"); err != nil {
		return One(Note, "not asked: uv asks it for a Python only, and there is none here", "run a build, which shows uv the parent's")
	}
	dir, err := os.MkdirTemp(m.Temp, "inlay-doctor-")
	if err != nil {
		return One(Problem, err.Error(), "name a directory that can be written in TMPDIR")
	}
	defer os.RemoveAll(dir) //nolint:errcheck // nothing depends on it
	in := filepath.Join(dir, "requirements.in")
	if err := os.WriteFile(in, []byte("pip\n"), 0o600); err != nil {
		return One(Problem, err.Error(), "name a directory that can be written in TMPDIR")
	}
	_, err = m.Output(ctx, uv, "pip", "compile", "--quiet", "--no-config", "--no-cache", "--no-deps", "--no-header", "--no-annotate", in)
	if err != nil {
		return One(Problem, fmt.Sprintf("uv can't ask its index: %v", err), fix)
	}
	return One(OK, "uv's own index answers", "")
}

// IndexByPip lets pip look for uv in its own index, from where inlay would fetch
// it.
func (m Machine) IndexByPip(ctx context.Context, fix string) []Finding {
	pip, err := m.LookPath("pip3")
	if err != nil {
		return One(Problem, "there is neither uv nor pip to ask it, or to fetch uv with", "install uv, or name an index that has it with --index-url URL")
	}
	if _, err := m.Output(ctx, pip, "index", "versions", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "uv"); err != nil {
		return One(Problem, fmt.Sprintf("pip can't ask its index: %v", err), fix)
	}
	return One(OK, "pip's own index answers", "")
}
