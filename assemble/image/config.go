// SPDX-License-Identifier: Apache-2.0

package image

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/resolve/plan"
)

// A document is an image's configuration (OCI image-spec 1.1, config.md). The
// part about running containers is as it stands in the parent's. What says how
// the parent was built (container, docker_version, BuildKit's cache) has no
// field here.
type document struct {
	Created      time.Time                  `json:"created"`
	Author       string                     `json:"author,omitempty"`
	Architecture string                     `json:"architecture"`
	Variant      string                     `json:"variant,omitempty"`
	OS           string                     `json:"os"`
	OSVersion    string                     `json:"os.version,omitempty"`
	OSFeatures   []string                   `json:"os.features,omitempty"`
	Config       map[string]json.RawMessage `json:"config"`
	RootFS       v1.RootFS                  `json:"rootfs"`
	History      []entry                    `json:"history,omitempty"`
}

// An entry of a history may have no time, unlike a v1.History.
type entry struct {
	Author     string     `json:"author,omitempty"`
	Created    *time.Time `json:"created,omitempty"`
	CreatedBy  string     `json:"created_by,omitempty"`
	Comment    string     `json:"comment,omitempty"`
	EmptyLayer bool       `json:"empty_layer,omitempty"`
}

// configure returns the configuration of the image: the parent's, changed as c
// says.
func configure(parent v1.Image, ls []Layer, diffIDs []v1.Hash, c plan.Config, created time.Time) ([]byte, error) {
	raw, err := parent.RawConfigFile()
	if err != nil {
		return nil, err
	}
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("parsing the parent's: %w", err)
	}
	old, err := parent.ConfigFile()
	if err != nil {
		return nil, err
	}
	d.Created = created.UTC()
	d.History = history(d.History, len(old.RootFS.DiffIDs))
	for _, l := range ls {
		d.History = append(d.History, entry{Created: &d.Created, CreatedBy: l.CreatedBy, Comment: l.Comment})
	}
	d.RootFS = v1.RootFS{Type: "layers", DiffIDs: slices.Concat(old.RootFS.DiffIDs, diffIDs)}
	if err := d.change(old.Config, c); err != nil {
		return nil, err
	}
	return json.Marshal(d)
}

// change sets what c changes of old. An entrypoint without a command drops the
// parent's command, which is made for another one; so does docker.
func (d *document) change(old v1.Config, c plan.Config) error {
	if d.Config == nil {
		d.Config = map[string]json.RawMessage{}
	}
	env, err := mergeEnv(old.Env, c.Env)
	if err != nil {
		return err
	}
	labels := maps.Clone(old.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, c.Labels)
	changes := []struct {
		field string
		value any
		set   bool
		empty bool
	}{
		{"Env", env, len(c.Env) > 0, false},
		{"User", c.User, c.User != "", false},
		{"WorkingDir", c.WorkDir, c.WorkDir != "", false},
		{"Entrypoint", c.Entrypoint, c.Entrypoint != nil, len(c.Entrypoint) == 0},
		{"Cmd", c.Cmd, c.Cmd != nil || c.Entrypoint != nil, len(c.Cmd) == 0},
		{"Labels", labels, len(c.Labels) > 0, false},
		{"ExposedPorts", united(old.ExposedPorts, c.Ports), len(c.Ports) > 0, false},
		{"Volumes", united(old.Volumes, c.Volumes), len(c.Volumes) > 0, false},
		{"StopSignal", c.StopSignal, c.StopSignal != "", false},
		{"Healthcheck", c.Healthcheck, c.Healthcheck != nil, false},
	}
	for _, change := range changes {
		if !change.set {
			continue
		}
		if change.empty {
			delete(d.Config, change.field)
			continue
		}
		if d.Config[change.field], err = json.Marshal(change.value); err != nil {
			return err
		}
	}
	return nil
}

// united returns a set with more in it.
func united(old map[string]struct{}, more []string) map[string]struct{} {
	all := maps.Clone(old)
	if all == nil {
		all = map[string]struct{}{}
	}
	for _, name := range more {
		all[name] = struct{}{}
	}
	return all
}

// mergeEnv returns old with the variables of changes: those it has are replaced
// where they stand, the others follow.
func mergeEnv(old, changes []string) ([]string, error) {
	env := slices.Clone(old)
	for _, kv := range changes {
		key, _, ok := strings.Cut(kv, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("environment variable %q is not of the form NAME=VALUE", kv)
		}
		same := func(have string) bool { return strings.HasPrefix(have, key+"=") }
		i := slices.IndexFunc(env, same)
		if i < 0 {
			env = append(env, kv)
			continue
		}
		env[i] = kv
		// Engines don't agree which of several counts.
		rest := slices.DeleteFunc(env[i+1:], same)
		env = env[:i+1+len(rest)]
	}
	return env, nil
}

// history returns old with one entry for each of n layers, beside those that
// stand for none. Surplus entries stand for none from now on; layers that
// nothing is said of are the last ones.
func history(old []entry, n int) []entry {
	h := slices.Clone(old)
	for i := range h {
		switch {
		case h[i].EmptyLayer:
		case n == 0:
			h[i].EmptyLayer = true
		default:
			n--
		}
	}
	for range n {
		h = append(h, entry{CreatedBy: "a layer of the parent image"})
	}
	return h
}
