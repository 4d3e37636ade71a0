// SPDX-License-Identifier: Apache-2.0

// Package compare says in what two images differ: their distributions and
// packages, their configuration, their files and their layers. Times are not
// compared. A layer is read for the contents of its files only where nothing
// else tells them apart, as a stream; the order in which the layers were made
// and how they are compressed make no difference.
package compare

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"inlay/resolve/parent"
)

// A Difference is what two images, A and B, do not have in common.
type Difference struct {
	Config []Change `json:"config"` // of the configuration, the platform and the interpreter
	Python []Change `json:"python"` // distributions of the interpreter that each has
	System []Change `json:"system"` // packages of dpkg or apk
	Files  []File   `json:"files"`  // sorted by path
	Layers Layers   `json:"layers"`
}

// Equal reports whether containers of both images would see the same, times
// excepted.
func (d *Difference) Equal() bool {
	return len(d.Config)+len(d.Python)+len(d.System)+len(d.Files) == 0
}

// A Change is one thing with a name and a value: a variable, a version.
type Change struct {
	Name string  `json:"name"`
	A    *string `json:"a"` // nil: A doesn't have it
	B    *string `json:"b"` // nil: B doesn't have it
}

// Layers say which layers both images have.
type Layers struct {
	Shared      int            `json:"shared"`
	SharedBytes int64          `json:"sharedBytes"` // compressed
	A           []parent.Layer `json:"a"`           // that B doesn't have
	B           []parent.Layer `json:"b"`           // that A doesn't have
}

// Images compares two images.
func Images(ctx context.Context, a, b *parent.Inventory) (*Difference, error) {
	d := &Difference{
		Config: changes(config(a), config(b)),
		Python: changes(distributions(a), distributions(b)),
		System: changes(packages(a), packages(b)),
		Layers: layersOf(a, b),
	}
	var err error
	d.Files, err = files(ctx, a, b)
	return d, err
}

// changes returns what differs, sorted by name.
func changes(a, b map[string]string) []Change {
	found := []Change{}
	for name, was := range a {
		if is, ok := b[name]; !ok {
			found = append(found, Change{Name: name, A: &was})
		} else if was != is {
			found = append(found, Change{Name: name, A: &was, B: &is})
		}
	}
	for name, is := range b {
		if _, ok := a[name]; !ok {
			found = append(found, Change{Name: name, B: &is})
		}
	}
	slices.SortFunc(found, func(a, b Change) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// config names all that the configuration says about running containers.
func config(inv *parent.Inventory) map[string]string {
	c := inv.Config.Config
	all := map[string]string{"platform": inv.Platform}
	set := func(name, value string) {
		if value != "" {
			all[name] = value
		}
	}
	if inv.Python != nil {
		all["python"] = inv.Python.Version + " at " + inv.Python.Interpreter
	}
	set("user", c.User)
	set("workdir", c.WorkingDir)
	set("stop signal", c.StopSignal)
	for name, words := range map[string][]string{"entrypoint": c.Entrypoint, "cmd": c.Cmd, "shell": c.Shell, "onbuild": c.OnBuild} {
		if len(words) > 0 {
			set(name, fmt.Sprintf("%q", words))
		}
	}
	for _, kv := range c.Env {
		name, value, _ := strings.Cut(kv, "=")
		all["env "+name] = value
	}
	for name, value := range c.Labels {
		all["label "+name] = value
	}
	for port := range c.ExposedPorts {
		all["port "+port] = "exposed"
	}
	for dir := range c.Volumes {
		all["volume "+dir] = "mounted"
	}
	if h := c.Healthcheck; h != nil {
		set("healthcheck", fmt.Sprintf("%q every %v, timeout %v, start %v, %d retries", h.Test, h.Interval, h.Timeout, h.StartPeriod, h.Retries))
	}
	return all
}

func distributions(inv *parent.Inventory) map[string]string {
	all := map[string]string{}
	if inv.Python == nil {
		return all
	}
	for _, d := range inv.Python.Dists {
		add(all, d.Name, d.Version)
	}
	return all
}

func packages(inv *parent.Inventory) map[string]string {
	all := map[string]string{}
	for _, p := range inv.Packages {
		add(all, p.Name, p.Version)
	}
	return all
}

// add notes a version; one name may stand for several, for example of several
// architectures.
func add(all map[string]string, name, version string) {
	if was, ok := all[name]; ok && was != version {
		version = was + ", " + version
	}
	all[name] = version
}

func layersOf(a, b *parent.Inventory) Layers {
	has := func(inv *parent.Inventory, l parent.Layer) bool {
		return slices.ContainsFunc(inv.Layers, func(o parent.Layer) bool { return o.Digest == l.Digest })
	}
	ls := Layers{A: []parent.Layer{}, B: []parent.Layer{}}
	for _, l := range a.Layers {
		if has(b, l) {
			ls.Shared++
			ls.SharedBytes += l.Size
		} else {
			ls.A = append(ls.A, l)
		}
	}
	for _, l := range b.Layers {
		if !has(a, l) {
			ls.B = append(ls.B, l)
		}
	}
	return ls
}
