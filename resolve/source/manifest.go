// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// maxJSON bounds an index, a manifest or a configuration, in bytes. Registries
// must take manifests of 4 MiB (OCI distribution 1.1) and few take more.
const maxJSON = 16 << 20

// kind returns the media type of a manifest or an index by what stands in it,
// as servers and older tools don't always say.
func kind(raw []byte) (types.MediaType, error) {
	var m struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     types.MediaType `json:"mediaType"`
		Config        *v1.Descriptor  `json:"config"`
		Manifests     json.RawMessage `json:"manifests"`
		FSLayers      json.RawMessage `json:"fsLayers"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return "", fmt.Errorf("parsing a manifest: %w", err)
	}
	switch {
	case m.SchemaVersion == 1, m.FSLayers != nil:
		return types.DockerManifestSchema1, nil
	case m.MediaType != "":
		return m.MediaType, nil
	case m.Manifests != nil:
		return types.OCIImageIndex, nil
	case m.Config != nil && m.Config.MediaType == types.DockerConfigJSON:
		return types.DockerManifestSchema2, nil
	case m.Config != nil:
		return types.OCIManifestSchema1, nil
	}
	return "", nil
}

// checkKind refuses what is neither an index nor an image.
func checkKind(ref Reference, mt types.MediaType) error {
	switch {
	case mt.IsImage(), mt.IsIndex():
		return nil
	case mt.IsSchema1():
		return &ReferenceError{
			ref.String(), "it has a Docker manifest of schema 1, a format given up in 2017",
			"pull it with an old docker and push it again, or name a newer image",
		}
	default:
		return &ReferenceError{ref.String(), fmt.Sprintf("it is no image: its media type is %q", mt), "name an image"}
	}
}

// checkImage reads the configuration of img and checks that it is one, of as
// many layers as the manifest has.
func checkImage(ref Reference, img v1.Image) error {
	m, err := img.Manifest()
	if err != nil {
		return fmt.Errorf("reading the manifest: %w", err)
	}
	if m.Config.Size > maxJSON {
		return &ReferenceError{ref.String(), fmt.Sprintf("its configuration has %d bytes", m.Config.Size), "name another image"}
	}
	if _, err := img.RawConfigFile(); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := img.ConfigFile()
	if err != nil {
		return fmt.Errorf("parsing the configuration: %w", err)
	}
	if len(c.RootFS.DiffIDs) != len(m.Layers) {
		return &ReferenceError{
			ref.String(),
			fmt.Sprintf("it can't be run: its manifest has %d layers, its configuration (%s) %d", len(m.Layers), m.Config.MediaType, len(c.RootFS.DiffIDs)),
			"name another image",
		}
	}
	return nil
}

func parseIndex(raw []byte) (*v1.IndexManifest, error) {
	return v1.ParseIndexManifest(bytes.NewReader(raw))
}

// readJSON reads all of r, at most maxJSON bytes.
func readJSON(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxJSON+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxJSON {
		return nil, fmt.Errorf("it has more than %d bytes", maxJSON)
	}
	return b, nil
}
