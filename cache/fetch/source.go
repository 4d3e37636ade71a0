// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxRedirects bounds how many redirects are followed.
const maxRedirects = 10

// A source is where a file comes from: a URL or a local path.
type source struct {
	url   *url.URL // without user and password; nil: a local file
	auth  string   // Authorization header for the URL's own host, or ""
	path  string   // of a local file
	shown string   // how errors name it: no user, password or query
}

// parse reads the URL of f. What can't be read isn't quoted in the error,
// because there may be a password in it.
func parse(f File) (*source, error) {
	if !strings.Contains(f.URL, "://") && !strings.HasPrefix(f.URL, "file:") {
		if f.URL == "" {
			return nil, fmt.Errorf("fetching %s: there is no URL for it", f.Name)
		}
		return &source{path: f.URL, shown: f.URL}, nil
	}
	u, err := url.Parse(f.URL)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: its URL can't be read", f.Name)
	}
	switch {
	case u.Scheme == "file" && u.Path != "" && (u.Host == "" || u.Host == "localhost"):
		return &source{path: u.Path, shown: u.Path}, nil
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		src := &source{url: public(u), shown: show(u)}
		if u.User != nil {
			password, _ := u.User.Password()
			src.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
		}
		return src, nil
	default:
		return nil, fmt.Errorf("fetching %s: %s is no URL of a file or of the web", f.Name, show(u))
	}
}

// public returns u without user, password and fragment, to be requested.
func public(u *url.URL) *url.URL {
	p := *u
	p.User, p.Fragment, p.RawFragment = nil, "", ""
	return &p
}

// show returns u for errors: also without its query, which may hold a
// signature that is as good as a password.
func show(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// get requests the source with the extra header fields given and follows
// redirects. It doesn't use http.Client, which would send the query of one host
// to the next as Referer and quote URLs in its errors.
func (s *source) get(ctx context.Context, rt http.RoundTripper, extra http.Header) (*http.Response, error) {
	u := s.url
	for range maxRedirects {
		header := extra.Clone()
		header.Set("Accept-Encoding", "identity") // the digest is of the file, not of a coding of it
		header.Set("User-Agent", "inlay")
		if s.auth != "" && sameHost(s.url, u) {
			header.Set("Authorization", s.auth)
		}
		req := (&http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: header}).WithContext(ctx)
		resp, err := rt.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		next, err := target(resp, u)
		if next == nil && err == nil {
			return resp, nil
		}
		_ = resp.Body.Close()
		if err != nil {
			return nil, err
		}
		u = next
	}
	return nil, &finalError{fmt.Errorf("the server redirects more than %d times", maxRedirects)}
}

// target returns where resp, the answer to a request of u, redirects to, or nil
// if it doesn't.
func target(resp *http.Response, u *url.URL) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	location := resp.Header.Get("Location")
	if location == "" {
		return nil, nil
	}
	next, err := u.Parse(location)
	if err != nil || (next.Scheme != "http" && next.Scheme != "https") || next.Host == "" {
		return nil, &finalError{errors.New("the server redirects to something that is no URL of the web")}
	}
	return public(next), nil
}

// sameHost reports whether credentials for a may be sent to b: to the same
// server, or to the same name when http is upgraded to https.
func sameHost(a, b *url.URL) bool {
	if !strings.EqualFold(a.Hostname(), b.Hostname()) {
		return false
	}
	if a.Scheme == b.Scheme {
		return port(a) == port(b)
	}
	return b.Scheme == "https" && a.Port() == "" && b.Port() == ""
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}
