// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"inlay/layers/pattern"
)

// maxPage bounds a page of an index. A project with a thousand releases takes
// 20 MB.
const maxPage = 128 << 20

// page hands a page of the index on, with its links as they are inside.
func (g *Gateway) page(w http.ResponseWriter, address string, resp *http.Response) error {
	body, err := g.read(address, resp)
	if err != nil {
		return err
	}
	for _, name := range []string{"Content-Type", "ETag", "Last-Modified", "Cache-Control"} {
		if v := resp.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, err = w.Write(body)
	return err
}

// read reads a page of the index, and learns its links. It returns the page with
// these as they are at address inside.
func (g *Gateway) read(address string, resp *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxPage {
		return nil, fmt.Errorf("the page is longer than %d bytes", maxPage)
	}
	base := resp.Request.URL
	page := path.Base(base.Path)
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		body, err = rewriteJSON(body, func(f jsonFile) string { return g.link(address, base, f.url, link{f.digest, f.size, page}) })
	} else {
		body = rewriteHTML(body, base, func(base *url.URL, raw string) string { return g.link(address, base, raw, link{page: page}) })
	}
	if err != nil {
		return nil, fmt.Errorf("reading a page of the index: %w", err)
	}
	return body, nil
}

// link returns what a link of the page at base is inside, and learns it, with
// what the page says beside it. What leads to no server stays as it is.
func (g *Gateway) link(address string, base *url.URL, raw string, l link) string {
	if scheme, host, path, ok := plainArchive(raw); ok && l.digest != "" {
		g.learnPlain(raw, scheme+"://"+host, l)
		return "http://" + address + "/" + scheme + "/" + host + "/" + path
	}
	u, err := base.Parse(strings.TrimSpace(raw))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return raw
	}
	u.User = nil
	if !g.below(u) || u.Fragment != "" || l.digest != "" { // else it is a page
		g.learn(u, l)
	}
	return inside(address, u)
}

// plainArchive takes apart the URL of a file of a package if it is spelled as a
// URL that was read and written again, as almost all on pages are: pages of one
// resolution have many thousands, and parsing takes longer than all else.
func plainArchive(raw string) (scheme, host, path string, ok bool) {
	scheme, rest, _ := strings.Cut(raw, "://")
	host, path, _ = strings.Cut(rest, "/")
	ok = (scheme == "https" || scheme == "http") && host != "" && !strings.Contains(raw, "/.") &&
		(strings.HasSuffix(path, ".whl") || strings.HasSuffix(path, ".tar.gz")) &&
		strings.Trim(host, plainHost) == "" && strings.Trim(path, plainPath) == "" // nothing else is in them
	return scheme, host, path, ok
}

// What URLs hold that are written as they are read.
const (
	plainHost = "abcdefghijklmnopqrstuvwxyz0123456789-."
	plainPath = plainHost + "ABCDEFGHIJKLMNOPQRSTUVWXYZ_~/"
)

var (
	anchor  = pattern.New(`(?i)(<a\s(?:[^>]*?\s)?href\s*=\s*)(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))`)
	baseTag = pattern.New(`(?i)<base\s(?:[^>]*?\s)?href\s*=\s*(?:"([^"]*)"|'([^']*)')[^>]*>`)
)

// rewriteHTML returns the page at base in HTML with other links (PEP 503). Its
// own idea of what links start from goes: they are absolute afterwards.
func rewriteHTML(page []byte, base *url.URL, link func(base *url.URL, raw string) string) []byte {
	if m := baseTag().FindSubmatch(page); m != nil {
		if u, err := base.Parse(html.UnescapeString(string(m[1]) + string(m[2]))); err == nil {
			base = u
		}
		page = baseTag().ReplaceAll(page, nil)
	}
	return anchor().ReplaceAllFunc(page, func(tag []byte) []byte {
		m := anchor().FindSubmatch(tag)
		raw := html.UnescapeString(string(m[2]) + string(m[3]) + string(m[4]))
		return fmt.Appendf(nil, `%s"%s"`, m[1], html.EscapeString(link(base, raw)))
	})
}
