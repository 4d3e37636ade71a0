// SPDX-License-Identifier: Apache-2.0

package lock

import (
	"fmt"
	"io"
	"net/url"
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"inlay/layers/pattern"
	"inlay/resolve/yamlfile"
)

// A FormatError reports a file that is no lock file of this version.
type FormatError = yamlfile.Error

// form is that of lock files. One of a thousand wheels takes 400 kB.
var form = yamlfile.Form{MiB: 16, Fix: "take the file from where it was kept, or remove it and run `inlay lock`"}

// Decode reads a lock file, which errors call name. It refuses what Encode
// doesn't write: another version, unknown fields, and values that a build could
// not use as they are. The error is a *FormatError, or r's own.
func Decode(name string, r io.Reader) (*File, error) {
	text, root, err := form.Document(name, r)
	if err != nil {
		return nil, err
	}
	if err := of(name, plain(root)); err != nil {
		return nil, err
	}
	if err := of(name, version(root)); err != nil {
		return nil, err
	}
	f := new(File)
	if err := form.Decode(name, text, f); err != nil {
		return nil, err
	}
	c := checker{root: root}
	c.file(f)
	if err := of(name, c.err); err != nil {
		return nil, err
	}
	return f, nil
}

// of completes what is wrong with a file.
func of(name string, e *FormatError) error {
	if e == nil {
		return nil
	}
	e.File, e.Fix = name, form.Fix
	return e
}

// plain refuses anchors: a file without them is as large as it looks.
func plain(n *yaml.Node) *FormatError {
	if n.Anchor != "" || n.Kind == yaml.AliasNode {
		return &FormatError{Line: n.Line, Problem: "anchors and aliases are not used in lock files"}
	}
	for _, c := range n.Content {
		if err := plain(c); err != nil {
			return err
		}
	}
	return nil
}

// version refuses a file of another version before its fields are looked at.
func version(root *yaml.Node) *FormatError {
	n := child(root, "version")
	if n == nil {
		return &FormatError{Line: root.Line, Problem: "it doesn't say its version"}
	}
	if n.Value != strconv.Itoa(Version) {
		return &FormatError{Line: n.Line, Problem: fmt.Sprintf("it is of version %.20q, this program reads version %d", n.Value, Version)}
	}
	return nil
}

// child returns the value of a mapping or the item of a list, nil if there is
// none.
func child(n *yaml.Node, key any) *yaml.Node {
	switch k := key.(type) {
	case string:
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == k {
				return n.Content[i+1]
			}
		}
	case int:
		if n.Kind == yaml.SequenceNode && k < len(n.Content) {
			return n.Content[k]
		}
	}
	return nil
}

// A checker keeps the first thing that is wrong, and its line.
type checker struct {
	root *yaml.Node
	err  *FormatError
}

// want notes a problem with what stands at the place unless ok.
func (c *checker) want(ok bool, problem string, at ...any) {
	if ok || c.err != nil {
		return
	}
	n := c.root
	for _, key := range at {
		if next := child(n, key); next != nil {
			n = next
		}
	}
	c.err = &FormatError{Line: n.Line, Problem: problem}
}

var (
	platformForm = pattern.New(`^linux/[a-z0-9_]+(/[a-z0-9]+)?$`)
	digestForm   = pattern.New(`^sha256:[0-9a-f]{64}$`)
	commitForm   = pattern.New(`^git\+(?:https?|ssh|file)://(?:[^/@:]+@)?[^@\s]*@[0-9a-f]{40}(?:#subdirectory=[^\s#]+)?$`)
	sumForm      = pattern.New(`^[0-9a-f]{64}$`)
	nameForm     = pattern.New(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	versionForm  = pattern.New(`^[A-Za-z0-9][A-Za-z0-9_.!+-]*$`)
	wheelForm    = pattern.New(`^[A-Za-z0-9_.]+-[A-Za-z0-9_.!+]+(-[0-9][A-Za-z0-9_.]*)?-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+\.whl$`)
)

func (c *checker) file(f *File) {
	c.want(len(f.Images) > 0, "it has no images")
	seen := map[string]bool{}
	for i, im := range f.Images {
		at := []any{"images", i}
		c.want(platformForm().MatchString(im.Platform), fmt.Sprintf("%q is not a platform", im.Platform), append(at, "platform")...)
		key := strings.TrimLeft(im.Step+" ", " ") + im.Platform
		c.want(!seen[key], "a second image for "+key, append(at, "platform")...)
		seen[key] = true
		c.image(im, at)
	}
}

func (c *checker) image(im Image, at []any) {
	in := func(keys ...any) []any { return append(append([]any(nil), at...), keys...) }
	c.want(im.Parent.Image != "", "the parent has no name", in("parent")...)
	c.want(digestForm().MatchString(im.Parent.Digest), fmt.Sprintf("%q is not a digest", im.Parent.Digest), in("parent", "digest")...)
	c.want(im.Python != nil || len(im.Wheels)+len(im.Removed)+len(im.Groups) == 0, "it has requirements and no python", at...)
	if p := im.Parent.Packages; p != nil {
		c.packages(p, in("parent", "packages"))
	}
	if im.Packages != nil {
		c.packages(im.Packages, in("packages"))
	}
	for i, d := range im.Removed {
		c.want(nameForm().MatchString(d.Name), fmt.Sprintf("%q is not the name of a distribution", d.Name), in("removed", i)...)
		c.want(path.IsAbs(d.Path) && path.Clean(d.Path) == d.Path, fmt.Sprintf("%q is not an absolute path", d.Path), in("removed", i)...)
	}
	seen := map[string]bool{}
	for i, w := range im.Wheels {
		here := in("wheels", i)
		c.want(!seen[w.Name], "a second wheel of "+w.Name, here...)
		seen[w.Name] = true
		c.wheel(w, here)
	}
}

func (c *checker) wheel(w Wheel, at []any) {
	in := func(key string) []any { return append(append([]any(nil), at...), key) }
	c.want(nameForm().MatchString(w.Name), fmt.Sprintf("%q is not the name of a distribution", w.Name), in("name")...)
	c.want(versionForm().MatchString(w.Version), fmt.Sprintf("%q is not a version", w.Version), in("version")...)
	c.want(wheelForm().MatchString(w.File), fmt.Sprintf("%q is not the name of a wheel", w.File), in("file")...)
	c.want(sumForm().MatchString(w.SHA256), fmt.Sprintf("%q is not a sha256", w.SHA256), in("sha256")...)
	c.want(w.Size >= 0, "a size below 0", in("size")...)
	if s := w.Source; s != nil {
		c.want(w.URL == "" && w.Path == "", "what is built of sources has no URL and no path", at...)
		c.want(s.File != "" && path.Base(s.File) == s.File, fmt.Sprintf("%q is not the name of a file", s.File), in("source")...)
		c.want(sumForm().MatchString(s.SHA256), fmt.Sprintf("%q is not a sha256", s.SHA256), in("source")...)
		c.want((s.URL == "") != (s.Path == ""), "want either a URL or a path", in("source")...)
		switch {
		case strings.HasPrefix(s.URL, "git+"):
			c.want(commitForm().MatchString(s.URL), "want the URL of a commit, without credentials", in("source")...)
		case s.URL != "":
			c.url(s.URL, in("source"))
		default:
			c.want(path.Clean(s.Path) == s.Path, fmt.Sprintf("%q is not a clean path", s.Path), in("source")...)
		}
		return
	}
	c.want((w.URL == "") != (w.Path == ""), "want either a URL or a path", at...)
	if w.URL != "" {
		c.url(w.URL, in("url"))
	}
	if w.Path != "" {
		c.want(path.Clean(w.Path) == w.Path && path.Base(w.Path) == w.File, fmt.Sprintf("%q is not the clean path of %s", w.Path, w.File), in("path")...)
	}
}

// url wants a URL of the web without credentials.
func (c *checker) url(raw string, at []any) {
	u, err := url.Parse(raw)
	c.want(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "", "want an http or https URL", at...)
	c.want(err != nil || u.User == nil, "a URL with credentials", at...)
}
