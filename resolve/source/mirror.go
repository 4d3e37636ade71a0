// SPDX-License-Identifier: Apache-2.0

package source

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// A Mirror is a place that has copies of the images of a registry.
type Mirror struct {
	Registry string // HOST or HOST:PORT, as names of images have it
	Prefix   string // HOST[:PORT][/PATH] of the copies: a repository's name follows
}

// A MirrorError reports text that describes no mirror.
type MirrorError struct{ Text string }

func (e *MirrorError) Error() string {
	return fmt.Sprintf("%q describes no mirror of a registry", e.Text)
}

// Hint shows one that does.
func (e *MirrorError) Hint() string {
	return "write REGISTRY=MIRROR[/PATH], such as docker.io=mirror.example.com/hub"
}

// A HostError reports text that names no registry.
type HostError struct{ Text string }

func (e *HostError) Error() string { return fmt.Sprintf("%q is no name of a registry", e.Text) }

// Hint says what one looks like.
func (e *HostError) Hint() string {
	return "write HOST or HOST:PORT, such as registry.example.com:5000"
}

// ParseMirror reads "REGISTRY=MIRROR[/PATH]". The error is a *MirrorError.
func ParseMirror(text string) (Mirror, error) {
	origin, prefix, ok := strings.Cut(text, "=")
	prefix = strings.TrimSuffix(prefix, "/")
	host, err := ParseHost(origin)
	if !ok || err != nil {
		return Mirror{}, &MirrorError{text}
	}
	at, _, _ := strings.Cut(prefix, "/")
	if _, err := ParseHost(at); err != nil {
		return Mirror{}, &MirrorError{text}
	}
	// A name without a dot or a port would be a repository of the default
	// registry, not one of the mirror.
	if repo, err := name.NewRepository(prefix + "/x"); err != nil || repo.RegistryStr() != at {
		return Mirror{}, &MirrorError{text}
	}
	return Mirror{host, prefix}, nil
}

// ParseHost reads the name of a registry, "HOST" or "HOST:PORT", and returns it
// as names of images have it: docker.io is known as index.docker.io.
// The error is a *HostError.
func ParseHost(text string) (string, error) {
	reg, err := name.NewRegistry(text, name.StrictValidation)
	if err != nil || strings.HasSuffix(text, ":") {
		return "", &HostError{text}
	}
	return reg.RegistryStr(), nil
}

// mirrored returns where copies of repo may be.
func (im Images) mirrored(repo name.Repository) ([]name.Repository, error) {
	var all []name.Repository
	for _, m := range im.Mirrors {
		if m.Registry != repo.RegistryStr() {
			continue
		}
		copies, err := im.repository(m.Prefix + "/" + repo.RepositoryStr())
		if err != nil {
			return nil, err
		}
		all = append(all, copies)
	}
	return all, nil
}
