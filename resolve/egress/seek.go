// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"strings"

	"inlay/layers/pattern"
)

// seek looks for u, a file that no page links to which this gateway has served,
// on the page of the project that its name says: a program may keep pages that an
// earlier gateway served.
func (g *Gateway) seek(ctx context.Context, u *url.URL) (digest string, ok bool) {
	project := projectOf(path.Base(u.Path))
	if g.index == nil || project == "" {
		return "", false
	}
	g.mu.Lock()
	done := g.sought[project]
	g.sought[project] = true
	g.mu.Unlock()
	if !done {
		g.study(ctx, project)
	}
	return g.linked(u)
}

// study reads the page of a project for its links. What can't be read has none.
func (g *Gateway) study(ctx context.Context, project string) {
	page := g.index.JoinPath(project, "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page.String(), nil)
	if err != nil {
		return
	}
	req.Header.Set("Accept", "application/vnd.pypi.simple.v1+json, text/html;q=0.5")
	resp, err := (&http.Client{Transport: g.web, CheckRedirect: redirected}).Do(req)
	if err != nil {
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		_, _ = g.read("", resp)
	}
}

var (
	separators = pattern.New(`[-_.]+`)
	beside     = pattern.New(`\.(?:metadata|provenance)$`)
)

// projectOf returns the name of the project that a file is of, as its own name
// has it and as URLs of pages spell it (PEP 503).
func projectOf(file string) string {
	file = beside().ReplaceAllString(file, "")
	if !archive().MatchString(file) {
		return ""
	}
	end := strings.IndexByte(file, '-')
	if !strings.HasSuffix(file, ".whl") {
		end = strings.LastIndexByte(file, '-')
	}
	if end < 0 {
		return ""
	}
	return strings.ToLower(separators().ReplaceAllString(file[:end], "-"))
}
