// SPDX-License-Identifier: Apache-2.0

package lock

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"inlay/layers/pattern"
)

// maxSize bounds a lock file. One of a thousand wheels takes 400 kB.
const maxSize = 16 << 20

// A FormatError reports a file that is no lock file of this version.
type FormatError struct {
	File    string
	Line    int // from 1; 0 for the file as a whole
	Problem string
}

func (e *FormatError) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Problem
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Problem)
}

// Hint says how to get a good one.
func (e *FormatError) Hint() string {
	return "take the file from where it was kept, or remove it and run `inlay lock`"
}

// Decode reads a lock file, which errors call name. It refuses what Encode
// doesn't write: another version, unknown fields, and values that a build could
// not use as they are. The error is a *FormatError, or r's own.
func Decode(name string, r io.Reader) (*File, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(b) > maxSize {
		return nil, &FormatError{File: name, Problem: fmt.Sprintf("it is longer than %d MiB", maxSize>>20)}
	}
	root, err := parse(b)
	if err != nil {
		return nil, formatError(name, err)
	}
	f := new(File)
	if err := version(root); err != nil {
		err.File = name
		return nil, err
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(f); err != nil {
		return nil, formatError(name, err)
	}
	c := checker{root: root}
	c.file(f)
	if c.err != nil {
		c.err.File = name
		return nil, c.err
	}
	return f, nil
}

// parse returns the only document of b. Anchors are refused: a file without
// them is as large as it looks.
func parse(b []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc, more yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty")
	} else if err != nil {
		return nil, err
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: a second document begins", max(more.Line, 1))
	}
	return doc.Content[0], plain(doc.Content[0])
}

func plain(n *yaml.Node) error {
	if n.Anchor != "" || n.Kind == yaml.AliasNode {
		return fmt.Errorf("line %d: anchors and aliases are not used in lock files", n.Line)
	}
	for _, c := range n.Content {
		if err := plain(c); err != nil {
			return err
		}
	}
	return nil
}

var (
	lineOf  = pattern.New(`(?s)^(?:yaml: )?(?:unmarshal errors:\s+)?line (\d+): ([^\n]*)`)
	unknown = pattern.New(`^field (\S+) not found in type .*$`)
	misfit  = pattern.New("^cannot unmarshal .* into .*$")
)

// formatError puts an error of the library into our form.
func formatError(name string, err error) error {
	e := &FormatError{File: name, Problem: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := lineOf().FindStringSubmatch(err.Error()); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
		e.Problem = m[2]
	}
	if m := unknown().FindStringSubmatch(e.Problem); m != nil {
		e.Problem = fmt.Sprintf("unknown field %q", m[1])
	}
	if misfit().MatchString(e.Problem) {
		e.Problem = "a value of another kind is wanted"
	}
	return e
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
		c.url(s.URL, in("source"))
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
