// SPDX-License-Identifier: Apache-2.0

package code

import (
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"inlay/layers/pattern"
	"inlay/resolve/catalog"
)

// RepositoryOf returns the URL of the stack's code repository, from which a git
// client can clone by HTTP. None is an *UnusableError, one that can't be read a
// *catalog.FormatError.
func RepositoryOf(s *catalog.Stack) (string, error) {
	var all []catalog.Component
	if s != nil {
		all = s.Of(catalog.CodeRepository)
	}
	if len(all) == 0 {
		return "", &UnusableError{"the stack has none", "add `{type: code_repository, flavor: git, config: {url: https://…}}` to the components of the stack"}
	}
	x := all[len(all)-1]
	raw := text(x, "url")
	if raw == "" || x.Flavor != "git" && !strings.HasSuffix(raw, ".git") {
		raw = hosted(x, raw) // ZenML's url of these is that of the host's API
	}
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return "", s.Fault(x, "its code repository "+x.Name+" says not where it is", "write `config: {url: https://…}`")
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return "", s.Fault(x, "the url of its code repository "+x.Name+" is none that containers can download from", "write one with https://, as for `git clone`")
	case u.User != nil:
		return "", s.Fault(x, "the url of its code repository "+x.Name+" holds a login", "leave it out of the url: containers take it from INLAY_CODE_TOKEN")
	}
	return strings.TrimRight(raw, "/"), nil
}

// hosted returns the URL of a repository that is named as ZenML's flavors github
// and gitlab do, else what url says.
func hosted(x catalog.Component, raw string) string {
	owner, name := text(x, "owner"), text(x, "repository")
	host := map[string]string{"github": "github.com", "gitlab": "gitlab.com"}[x.Flavor]
	if x.Flavor == "gitlab" {
		owner, name = text(x, "group"), text(x, "project")
	}
	if own := text(x, "host"); own != "" {
		host = own
	}
	if host == "" || owner == "" || name == "" {
		return raw
	}
	return "https://" + path.Join(host, owner, name) + ".git"
}

// text returns a text of a component's configuration, "" if there is none.
func text(x catalog.Component, key string) string {
	s, _ := x.Config[key].(string)
	return s
}

// schemes are those of artifact stores by what the URL of theirs begins with.
var schemes = map[string]string{"s3": "s3", "gs": "gs", "az": "az", "abfs": "az", "abfss": "az", "azblob": "az", "file": "file"}

// StoreOf returns the URL of the stack's artifact store: file:///DIR, s3://, gs:// or
// az://BUCKET/PREFIX. Directories without a root are in context. None, and one of which the
// stack doesn't say where it is, are an *UnusableError.
func StoreOf(s *catalog.Stack, context string) (string, error) {
	var all []catalog.Component
	if s != nil {
		all = s.Of("artifact_store")
	}
	if len(all) == 0 {
		return "", &UnusableError{"the stack has none", "add `{type: artifact_store, flavor: s3, config: {path: s3://…}}` to the components of the stack"}
	}
	x := all[len(all)-1]
	raw := text(x, "path")
	if raw == "" {
		return "", &UnusableError{fmt.Sprintf("the stack doesn't say where %s is", x.Name), fmt.Sprintf("add `config: {path: %s}` to it", examplePath(x.Flavor))}
	}
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		dir := raw
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(context, dir)
		}
		scheme, rest = "file", filepath.ToSlash(dir)
	}
	kind, known := schemes[scheme]
	bucket, _, _ := strings.Cut(rest, "/")
	switch {
	case !known:
		return "", &UnusableError{fmt.Sprintf("there is no way to write to %s://", scheme), "name one with file://, s3://, gs:// or az://"}
	case kind == "file" && !strings.HasPrefix(rest, "/"):
		return "", s.Fault(x, fmt.Sprintf("the path %s of %s is not absolute", raw, x.Name), "write file:///DIR, or the directory alone")
	case kind != "file" && !isBucket().MatchString(bucket):
		return "", s.Fault(x, fmt.Sprintf("the path of %s names no bucket, or more than that", x.Name), "write, for example, "+scheme+"://bucket/path")
	case strings.ContainsAny(rest, "#?") && kind != "file":
		return "", s.Fault(x, fmt.Sprintf("the path of %s has a # or ? in it", x.Name), "name another")
	case kind == "file":
		return (&url.URL{Scheme: "file", Path: path.Clean(rest)}).String(), nil
	}
	return kind + "://" + strings.TrimRight(rest, "/"), nil
}

// isBucket matches names of buckets and containers: no login and no host's port.
var isBucket = pattern.New(`^[A-Za-z0-9][A-Za-z0-9._-]+$`)

// examplePath is where a store of that flavor could be.
func examplePath(flavor string) string {
	return map[string]string{"s3": "s3://bucket/path", "gcp": "gs://bucket/path", "azure": "az://container/path"}[flavor] +
		map[bool]string{true: "/srv/store"}[flavor != "s3" && flavor != "gcp" && flavor != "azure"]
}

// EndpointOf returns the URL that the stack gives for the API of its S3, "" for
// Amazon's: ZenML has it in client_kwargs.
func EndpointOf(s *catalog.Stack) string {
	if s == nil {
		return ""
	}
	for _, x := range s.Of("artifact_store") {
		if more, ok := x.Config["client_kwargs"].(map[string]any); ok {
			endpoint, _ := more["endpoint_url"].(string)
			return endpoint
		}
	}
	return ""
}

var (
	scpLike = pattern.New(`^(?:[^@/:]+@)?([^/:]+):([^/].*)$`)
	dotGit  = pattern.New(`(?:\.git)?/*$`)
)

// sameRepository reports whether two URLs name the same repository: however it
// is reached, and as whom.
func sameRepository(a, b string) bool {
	return repositoryName(a) != "" && repositoryName(a) == repositoryName(b)
}

// repositoryName is "host/path" of a repository's URL, "" of one on this machine.
func repositoryName(raw string) string {
	if m := scpLike().FindStringSubmatch(raw); m != nil && !strings.Contains(raw, "://") {
		raw = "ssh://" + m[1] + "/" + m[2]
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	host := u.Host
	if u.Scheme == "ssh" || u.Scheme == "git+ssh" {
		host = u.Hostname() // the port of one service says nothing of another's
	}
	return strings.ToLower(host) + "/" + strings.Trim(dotGit().ReplaceAllString(u.Path, ""), "/")
}
