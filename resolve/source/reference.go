// SPDX-License-Identifier: Apache-2.0

package source

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/xrash/smetrics"

	"inlay/layers/pattern"
)

// The transports, as they are written before an image's name.
const (
	transportRegistry      = "docker"
	transportLayout        = "oci"
	transportOCIArchive    = "oci-archive"
	transportDockerArchive = "docker-archive"
)

// Apt is the transport of images that are made of Debian packages alone. Their
// names hold a suite and packages, as Root returns them; Images can't open them.
const Apt = "apt"

// misspellable are the prefixes that an image's name in a registry is not
// likely to resemble. Those of other tools are there to be told from ours.
var misspellable = []string{transportOCIArchive, transportDockerArchive, "docker-daemon", "containers-storage"}

// A Reference names an image and where it is. The zero value names none.
type Reference struct {
	// Transport is "docker" for a registry, "oci", "oci-archive" or
	// "docker-archive".
	Transport string
	// Name is the full name of a repository, with its registry, or a path.
	Name string
	// Tag is "" where none is named, or where Digest decides. In a docker
	// archive it is a tag or a name with a tag.
	Tag string
	// Digest is that of an index or manifest, "sha256:…", or "".
	Digest string
}

// A ReferenceError reports text that names no image, or a named place where
// there is none that can be used.
type ReferenceError struct {
	Reference string // as the user wrote it
	Problem   string
	Fix       string // what to do about it
}

func (e *ReferenceError) Error() string { return fmt.Sprintf("image %q: %s", e.Reference, e.Problem) }

// Hint says what to do about it.
func (e *ReferenceError) Hint() string { return e.Fix }

// Parse reads the name of an image, by default one in a registry:
//
//	[docker://]NAME[:TAG][@sha256:…]
//	oci:DIR[:TAG][@sha256:…]
//	oci-archive:FILE[:TAG][@sha256:…]
//	docker-archive:FILE[:NAME:TAG][@sha256:…]
//	apt:SUITE[+PACKAGE…][@sha256:…]
//
// As in skopeo, a path ends at the first colon. Names in a registry get its
// host and the tag "latest" where they have none. The error is a
// *ReferenceError; only to say what may have been meant does Parse look at the
// file system.
func Parse(s string) (Reference, error) {
	text, digest, err := cutDigest(s)
	if err != nil {
		return Reference{}, err
	}
	transport, rest, _ := strings.Cut(text, ":")
	switch transport {
	case transportLayout, transportOCIArchive, transportDockerArchive:
		path, tag, _ := strings.Cut(rest, ":")
		if path == "" {
			return Reference{}, &ReferenceError{s, "it has no path", "write " + transport + ":PATH"}
		}
		return Reference{Transport: transport, Name: path, Tag: tag, Digest: digest}, nil
	case Apt:
		if problem := checkRoot(rest); problem != "" {
			return Reference{}, &ReferenceError{s, problem, "write apt:SUITE or apt:SUITE+PACKAGE+PACKAGE; an image called apt is docker://" + s}
		}
		return Reference{Transport: Apt, Name: rest, Digest: digest}, nil
	case "http", "https":
		if after, ok := strings.CutPrefix(rest, "//"); ok {
			if err := checkLogin(after); err != nil {
				return Reference{}, err
			}
			return Reference{}, &ReferenceError{s, "it is an address of the web, not a name", "did you mean " + after + "?"}
		}
	case transportRegistry:
		if after, ok := strings.CutPrefix(rest, "//"); ok {
			text = after
		}
	default:
		if err := checkTransport(s, transport, rest); err != nil {
			return Reference{}, err
		}
	}
	return parseName(s, text, digest)
}

var (
	suiteName   = pattern.New(`^[a-z0-9][a-z0-9.-]*$`)
	packageName = pattern.New(`^[a-z0-9][a-z0-9.-]+$`)
)

// checkRoot says what is wrong with the name of an image made of Debian packages.
func checkRoot(name string) string {
	for i, word := range strings.Split(name, "+") {
		switch {
		case i == 0 && !suiteName().MatchString(word):
			return fmt.Sprintf("%q is no suite of Debian", word)
		case i > 0 && !packageName().MatchString(word):
			return fmt.Sprintf("%q is no package that can be named here; list those with a + in their name in `apt_packages`", word)
		}
	}
	return ""
}

// Root returns the suite and the packages that r names, whose transport is Apt.
func (r Reference) Root() (suite string, packages []string) {
	words := strings.Split(r.Name, "+")
	return words[0], words[1:]
}

func cutDigest(s string) (text, digest string, err error) {
	i := strings.LastIndex(s, "@sha256:")
	if i < 0 {
		return s, "", nil
	}
	if _, err := v1.NewHash(s[i+1:]); err != nil {
		return "", "", notDigest(s, s[i+1:])
	}
	return s[:i], s[i+1:], nil
}

func notDigest(s, digest string) error {
	return &ReferenceError{s, fmt.Sprintf("%q is no digest", digest), "write sha256: and 64 hexadecimal digits after the @"}
}

// checkTransport finds misspelt transports and those of other tools.
func checkTransport(s, transport, rest string) error {
	i := slices.IndexFunc(misspellable, func(t string) bool { return distance(transport, t) <= 2 })
	if i < 0 || rest == "" {
		return nil
	}
	switch known := misspellable[i]; known {
	case transportOCIArchive, transportDockerArchive:
		return &ReferenceError{s, fmt.Sprintf("unknown transport %q", transport), "did you mean " + known + ":" + rest + "?"}
	default:
		return &ReferenceError{
			s, fmt.Sprintf("images of %q can't be read", transport),
			"save it to a file first: skopeo copy " + s + " oci-archive:FILE",
		}
	}
}

// checkLogin refuses a name with a user and a password, and doesn't quote them.
func checkLogin(text string) error {
	if i := strings.LastIndex(text, "@"); i >= 0 && strings.Contains(text[i:], "/") {
		return &ReferenceError{
			"****" + text[i:], "a name holds no credentials",
			"leave them out, and log in with docker login, podman login or crane auth login",
		}
	}
	return nil
}

// parseName reads the name of an image in a registry.
func parseName(s, text, digest string) (Reference, error) {
	if err := checkLogin(text); err != nil {
		return Reference{}, err
	}
	if _, odd, ok := strings.Cut(text, "@"); ok {
		return Reference{}, notDigest(s, odd)
	}
	ref, err := name.ParseReference(text)
	// A path may pass for a name whose registry is "", "." or "..".
	if err != nil || strings.HasPrefix(text, ".") || strings.HasPrefix(text, "/") {
		return Reference{}, &ReferenceError{s, "it is no name of an image", meant(text)}
	}
	r := Reference{Transport: transportRegistry, Name: ref.Context().Name(), Digest: digest}
	if digest == "" {
		r.Tag = ref.Identifier()
	}
	return r, nil
}

// meant guesses what text, which is no name of an image, stands for.
func meant(text string) string {
	if info, err := os.Stat(text); err == nil {
		switch {
		case info.Mode().IsRegular():
			return "did you mean docker-archive:" + text + " or oci-archive:" + text + "?"
		case isLayout(text):
			return "did you mean oci:" + text + "?"
		}
	}
	return "write NAME[:TAG] in lower case, or a path after oci:, oci-archive: or docker-archive:"
}

func isLayout(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, layoutFile))
	return err == nil
}

// String returns r as Parse reads it.
func (r Reference) String() string {
	s := r.Name
	if r.Transport != transportRegistry {
		s = r.Transport + ":" + s
	}
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

// Pinned returns r with a digest that decides which image it names.
func (r Reference) Pinned(digest string) Reference {
	r.Tag, r.Digest = "", digest
	return r
}

// pinned returns r with the digest that decides which image it names.
func (r Reference) pinned(h v1.Hash) string {
	return r.Pinned(h.String()).String()
}

// distance returns how many characters must be added, removed or replaced to
// make b of a (Levenshtein).
func distance(a, b string) int { return smetrics.WagnerFischer(a, b, 1, 1, 1) }
