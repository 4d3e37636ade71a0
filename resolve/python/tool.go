// SPDX-License-Identifier: Apache-2.0

package python

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/cache/fetch"
	"inlay/layers/pattern"
	"inlay/resolve/python/reqfile"
)

// A Tool is a program that package indexes have, as a wheel.
type Tool struct {
	Name     string // of its project
	Version  string
	File     string // the wheel
	Platform string // that pip knows it by; "" if it fits all
	Digest   string // sha256 of the wheel, in hex
}

// Fetch opens the wheel of t, as it was fetched before or by each way until one
// works; its digest was checked. If none works the file is nil, and tried says
// why. An error means that the search was ended.
func (o FindOptions) Fetch(ctx context.Context, t Tool) (wheel *os.File, tried []string, err error) {
	file := fetch.File{Name: t.File, Digest: v1.Hash{Algorithm: "sha256", Hex: t.Digest}}
	if o.Files.Has(file.Digest) {
		if wheel, err = o.Files.Open(ctx, file); err == nil {
			return wheel, nil, nil
		}
	}
	if o.Files.Offline {
		return nil, []string{"none was fetched yet, and now there is no network"}, ctx.Err()
	}
	var ways []func() (*os.File, error)
	for _, x := range o.Index.Indexes() {
		ways = append(ways, func() (*os.File, error) { return o.fromIndex(ctx, x.URL, t, file) })
	}
	ways = append(ways, func() (*os.File, error) { return o.fromPip(ctx, t, file) })
	for _, way := range ways {
		if wheel, err = way(); err == nil {
			return wheel, nil, nil
		}
		if ctx.Err() != nil {
			return nil, nil, err
		}
		tried = append(tried, err.Error())
	}
	return nil, tried, nil
}

// fromIndex downloads file from an index.
func (o FindOptions) fromIndex(ctx context.Context, url string, t Tool, file fetch.File) (f *os.File, err error) {
	if file.URL, err = findFile(ctx, o.Files.Transport, url, t); err != nil {
		return nil, err
	}
	return o.Files.Open(ctx, file)
}

// maxPage bounds a page of an index. A project with a thousand releases takes
// 20 MB.
const maxPage = 128 << 20

// findFile looks a tool up on its page in a package index (PEP 503, PEP 691).
func findFile(ctx context.Context, rt http.RoundTripper, index string, t Tool) (string, error) {
	page := strings.TrimSuffix(index, "/") + "/" + t.Name + "/"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", "application/vnd.pypi.simple.v1+json, text/html;q=0.1")
	resp, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		return "", &IndexError{Message: reqfile.Redact(err.Error())}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", &IndexError{Message: fmt.Sprintf("%s: %s", page, resp.Status)}
	}
	list := linksHTML
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		list = linksJSON
	}
	links, err := list(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return "", &IndexError{Message: fmt.Sprintf("reading %s: %v", page, err)}
	}
	for _, l := range links {
		if u, err := resp.Request.URL.Parse(l); err == nil && path.Base(u.Path) == t.File {
			return u.String(), nil
		}
	}
	return "", fmt.Errorf("%s doesn't list %s", page, t.File)
}

func linksJSON(r io.Reader) ([]string, error) {
	var page struct {
		Files []struct {
			URL string `json:"url"`
		} `json:"files"`
	}
	if err := json.NewDecoder(r).Decode(&page); err != nil {
		return nil, err
	}
	links := make([]string, len(page.Files))
	for i, f := range page.Files {
		links[i] = f.URL
	}
	return links, nil
}

var anchor = pattern.New(`(?i)<a\s[^>]*?href\s*=\s*(?:"([^"]*)"|'([^']*)')`)

func linksHTML(r io.Reader) ([]string, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var links []string
	for _, m := range anchor().FindAllSubmatch(b, -1) {
		links = append(links, html.UnescapeString(string(m[1])+string(m[2])))
	}
	return links, nil
}

// pips are the ways to run pip.
var pips = [][]string{{"pip3"}, {"pip"}, {"python3", "-m", "pip"}, {"python", "-m", "pip"}}

// pipHere are settings of pip's that make it refuse a download, for what they
// guard against is an installation.
var pipHere = []string{"PIP_REQUIRE_VIRTUALENV=0", "PIP_REQUIRE_HASHES=0"}

// fromPip lets pip download file, which knows its index without being told.
func (o FindOptions) fromPip(ctx context.Context, t Tool, file fetch.File) (*os.File, error) {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.Dir, "pip-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	args := []string{
		"download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "--no-deps", "--only-binary=:all:", "--dest", dir,
	}
	if t.Platform != "" {
		args = append(args, "--platform", t.Platform)
	}
	args = append(args, t.Name+"=="+t.Version)
	tried := errors.New("there is no pip on the PATH")
	for _, pip := range pips {
		program, err := o.LookPath(pip[0])
		if err != nil {
			continue
		}
		log := &logWriter{}
		exit, err := o.Runner.Run(ctx, Command{
			Path: program, Args: append(slices.Clone(pip[1:]), args...),
			Dir: dir, Env: pick(o.Env, pipEnv(), append(o.pipIndexes(), pipHere...)...), Stdout: log, Stderr: log,
		})
		if ctx.Err() != nil {
			return nil, err
		}
		if err != nil { // as where the Python that a script names has gone
			tried = err
			continue
		}
		if exit == 0 {
			file.URL = filepath.Join(dir, file.Name)
			return o.Files.Open(ctx, file)
		}
		tried = fmt.Errorf("%s can't download %s: %s", program, t.Name, lastLine(reqfile.Redact(log.String())))
	}
	return nil, tried
}

// pipIndexes are the variables that tell pip the indexes; without any it keeps
// its own.
func (o FindOptions) pipIndexes() []string {
	if len(o.Index.Indexes()) == 0 {
		return nil
	}
	return o.Index.PipEnv()
}
