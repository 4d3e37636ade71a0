// SPDX-License-Identifier: Apache-2.0

// Package parent lists what a parent image already holds: its Python, its C
// library, its users, and what of its directories decides where files land.
// Nothing of the image is unpacked or executed: each layer is read once, as a
// stream whose digests are checked, and what was learned is cached.
package parent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/layers"
	"inlay/resolve/plan"
)

// format is part of the names of cached inventories. It grows when an
// inventory's shape or meaning changes.
const format = 2

// Options say which image to inspect.
type Options struct {
	Image     v1.Image
	Name      string // as the user wrote it
	Reference string // pinned, for plan.Parent.Image
	Platform  string // "linux/amd64"; "" takes the image as it is
	Python    string // the interpreter's path, or its name on PATH; "" looks for it
	Store     Store  // nil caches nothing
	Jobs      int    // layers read at a time; at most 2, and 0 means 2
	// Brief leaves the system's packages out of an inventory that the store has:
	// they are most of it, and a build that installs none asks for none.
	Brief bool
	// Progress is told of each layer that is read; nil shows nothing.
	Progress func(task string, total int64) (add func(n int64), done func(error))
}

// A Store keeps small values by name; disk.Values is one.
type Store interface {
	Get(name string) ([]byte, error) // fs.ErrNotExist if there is none
	Put(name string, b []byte) error
}

// An Inventory is what later steps need to know of a parent. It is data; only
// View goes back to the image.
type Inventory struct {
	Name          string            `json:"name"`      // as the user wrote it
	Reference     string            `json:"reference"` // pinned
	Digest        string            `json:"digest"`
	Platform      string            `json:"platform"`  // "linux/amd64", "linux/arm/v7"
	MediaType     types.MediaType   `json:"mediaType"` // of the manifest
	Config        v1.ConfigFile     `json:"config"`
	Layers        []Layer           `json:"layers"`
	OS            map[string]string `json:"os"` // os-release(5)
	Libc          Libc              `json:"libc"`
	Python        *Python           `json:"python"`        // nil: there is none that can be used
	PythonProblem string            `json:"pythonProblem"` // why Python is nil
	Notes         []string          `json:"notes"`         // for people: what was guessed
	Packages      []Package         `json:"packages"`      // of the system, sorted by name
	Users         []User            `json:"users"`
	Groups        []Group           `json:"groups"`
	Links         []plan.Link       `json:"links"` // to directories, sorted by path
	Dirs          []plan.Dir        `json:"dirs"`  // not 0755 root:root, sorted by path

	from *source
}

// Image returns the image that inv is of.
func (inv *Inventory) Image() v1.Image { return inv.from.Image }

// A Layer is one of the image's, lowest first.
type Layer struct {
	Digest    string          `json:"digest"`
	DiffID    string          `json:"diffID"`
	Size      int64           `json:"size"` // bytes of the compressed layer
	MediaType types.MediaType `json:"mediaType"`
}

// Libc is the C library that the image's programs use. Wheels are chosen by it
// (PEP 600, PEP 656).
type Libc struct {
	Family string `json:"family"` // "glibc", "musl" or "" if there is none
	Major  int    `json:"major"`
	Minor  int    `json:"minor"` // 36 of glibc 2.36
}

// Python is the interpreter that requirements are installed for.
type Python struct {
	// Interpreter is the absolute path for "#!" lines: what sys.executable is
	// where `uv pip install --system` runs in the image, or in a virtual
	// environment without that flag. A path from the settings is taken as given.
	Interpreter string      `json:"interpreter"`
	Version     string      `json:"version"`    // "3.11.2"
	Arch        string      `json:"arch"`       // as `uname -m` says: "x86_64"
	Prefix      string      `json:"prefix"`     // sys.prefix
	BasePrefix  string      `json:"basePrefix"` // sys.base_prefix
	Stdlib      string      `json:"stdlib"`     // the directory of os.py
	Scheme      plan.Scheme `json:"scheme"`
	// FreeThreaded and Debug say how it was built.
	FreeThreaded bool `json:"freeThreaded"`
	Debug        bool `json:"debug"`
	// Kind is the kind of installation: "venv", "conda", "docker" (/usr/local),
	// "debian", "fedora", "system" (other distributions), "uv", "lambda", or
	// "prefix" for any other.
	Kind              string `json:"kind"`
	ExternallyManaged bool   `json:"externallyManaged"` // PEP 668
	Dists             []Dist `json:"dists"`             // in purelib and platlib, sorted by path
}

// A Dist is an installed distribution.
type Dist struct {
	Name    string `json:"name"` // normalised (PEP 503)
	Version string `json:"version"`
	Path    string `json:"path"` // absolute: its .dist-info, .egg-info or .egg-link
}

// Inspect lists what the image holds. Layers are read only if the store
// doesn't know them, an inventory is made only if the store has none for this
// image. An image for another platform is a [*PlatformError]; a missing Python
// is none, see [Inventory.NeedPython].
func Inspect(ctx context.Context, o Options) (*Inventory, error) {
	digest, err := o.Image.Digest()
	if err != nil {
		return nil, fmt.Errorf("reading the manifest of %s: %w", o.Name, err)
	}
	name := fmt.Sprintf("inventory-%d-%x", format, sha256.Sum256([]byte(digest.String()+"\n"+o.Platform+"\n"+o.Python)))
	inv, err := load(o, name, digest)
	if errors.Is(err, fs.ErrNotExist) {
		inv, err = inspect(ctx, o, digest)
		if err == nil {
			err = save(o.Store, name, inv)
		}
	}
	if err != nil {
		return nil, err
	}
	inv.Name, inv.Reference = o.Name, o.Reference
	inv.from = &source{Options: o, layers: inv.Layers}
	return inv, nil
}

// load returns the inventory of digest that the store has under name.
func load(o Options, name string, digest v1.Hash) (*Inventory, error) {
	if o.Store == nil {
		return nil, fs.ErrNotExist
	}
	b, err := o.Store.Get(name)
	if err != nil {
		return nil, fmt.Errorf("reading a cached inventory: %w", err)
	}
	inv := &Inventory{}
	var to any = inv
	if o.Brief {
		to = &briefly{Inventory: inv}
	}
	if err := json.Unmarshal(b, to); err != nil || inv.Digest != digest.String() {
		return nil, fs.ErrNotExist // damaged: made anew
	}
	return inv, nil
}

// briefly is an Inventory whose packages are not decoded.
type briefly struct {
	*Inventory

	Packages json.RawMessage `json:"packages"`
}

func save(s Store, name string, inv *Inventory) error {
	if s == nil {
		return nil
	}
	b, err := json.Marshal(inv)
	if err != nil {
		return fmt.Errorf("storing the inventory: %w", err)
	}
	if err := s.Put(name, b); err != nil {
		return fmt.Errorf("storing the inventory: %w", err)
	}
	return nil
}

// inspect makes an inventory from the image itself.
func inspect(ctx context.Context, o Options, digest v1.Hash) (*Inventory, error) {
	inv := &Inventory{Digest: digest.String()}
	if err := inv.describe(o); err != nil {
		return nil, err
	}
	from := &source{Options: o, layers: inv.Layers}
	view, err := from.view(ctx)
	if err != nil {
		return nil, err
	}
	inv.look(view, o.Python)
	return inv, nil
}

// describe reads manifest and configuration.
func (inv *Inventory) describe(o Options) error {
	m, err := o.Image.Manifest()
	if err != nil {
		return fmt.Errorf("reading the manifest of %s: %w", o.Name, err)
	}
	cfg, err := o.Image.ConfigFile()
	if err != nil {
		return fmt.Errorf("reading the configuration of %s: %w", o.Name, err)
	}
	if inv.MediaType, err = o.Image.MediaType(); err != nil {
		return fmt.Errorf("reading the manifest of %s: %w", o.Name, err)
	}
	if len(m.Layers) != len(cfg.RootFS.DiffIDs) {
		return fmt.Errorf("the manifest of %s lists %d layers and its configuration %d", o.Name, len(m.Layers), len(cfg.RootFS.DiffIDs))
	}
	if inv.Platform, err = platform(o, cfg); err != nil {
		return err
	}
	inv.Config = *cfg
	for i, l := range m.Layers {
		inv.Layers = append(inv.Layers, Layer{
			Digest: l.Digest.String(), DiffID: cfg.RootFS.DiffIDs[i].String(), Size: l.Size, MediaType: l.MediaType,
		})
	}
	return nil
}

// look lists what the file tree says.
func (inv *Inventory) look(view *layers.View, setting string) {
	inv.OS = osRelease(view)
	inv.Users, inv.Groups = accounts(view)
	inv.Links, inv.Dirs = directories(view)
	p := &probe{view: view, config: &inv.Config, arch: archOf(inv.Platform)}
	py, err := p.python(setting)
	if err != nil {
		inv.PythonProblem = err.Error()
	}
	inv.Python = py
	inv.Libc = p.libc(py)
	inv.Packages = p.packages()
	inv.Notes = p.notes
}

// platform returns the platform of the image, which must run where the one
// asked for does. An image that says no architecture is taken for what was
// asked for.
func platform(o Options, cfg *v1.ConfigFile) (string, error) {
	have := normal(v1.Platform{OS: cmp.Or(cfg.OS, "linux"), Architecture: cfg.Architecture, Variant: cfg.Variant})
	if have.OS != "linux" {
		return "", &PlatformError{Parent: o.Name, Have: have.String()}
	}
	if o.Platform == "" {
		return have.String(), nil
	}
	asked, err := v1.ParsePlatform(o.Platform)
	if err != nil {
		return "", fmt.Errorf("reading the platform %q: %w", o.Platform, err)
	}
	want := normal(*asked)
	if have.Architecture == "" {
		have = want
	}
	// A newer variant of a processor runs what was made for an older one.
	if want.OS != have.OS || want.Architecture != have.Architecture || have.Variant > want.Variant {
		return "", &PlatformError{Parent: o.Name, Want: o.Platform, Have: have.String()}
	}
	return have.String(), nil
}

// normal returns p without a variant that goes without saying, and with the one
// that 32-bit ARM is known by.
func normal(p v1.Platform) v1.Platform {
	p = v1.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
	switch p.Architecture + "/" + p.Variant {
	case "arm64/v8", "amd64/v1":
		p.Variant = ""
	case "arm/":
		p.Variant = "v7"
	}
	return p
}

// View opens the image's file tree, with the content of the small files that
// describe installed distributions. It comes from the store; a layer that the
// store has lost is read again.
func (inv *Inventory) View(ctx context.Context) (*layers.View, error) {
	if inv.from == nil {
		return nil, errors.New("the inventory has no image: it wasn't made by Inspect")
	}
	return inv.from.view(ctx)
}

// NeedPython returns nil if requirements can be installed, else a
// [*NoPythonError].
func (inv *Inventory) NeedPython() error {
	if inv.Python != nil {
		return nil
	}
	return &NoPythonError{Parent: inv.Name, Problem: inv.PythonProblem}
}

// NoPythonError reports a parent without a Python that can be used.
type NoPythonError struct {
	Parent  string // as the user wrote it
	Problem string // what was looked for or found
}

func (e *NoPythonError) Error() string {
	return fmt.Sprintf("parent image %q can't take requirements: %s", e.Parent, e.Problem)
}

// Hint says how to name a Python.
func (e *NoPythonError) Hint() string {
	return "name a parent image that has Python, or say where its Python is with `python: /path/to/python3`"
}

// PlatformError reports a parent for another platform.
type PlatformError struct {
	Parent string // as the user wrote it
	Want   string // "linux/arm64"; "" if the user named none
	Have   string // "windows/amd64"
}

func (e *PlatformError) Error() string {
	if e.Want == "" {
		return fmt.Sprintf("parent image %q is for %s, and only Linux images can be built", e.Parent, e.Have)
	}
	return fmt.Sprintf("parent image %q is for %s, not %s", e.Parent, e.Have, e.Want)
}

// Hint says what can be changed.
func (e *PlatformError) Hint() string {
	if e.Want == "" || !strings.HasPrefix(e.Have, "linux/") {
		return "name a parent image for Linux with `parent_image: IMAGE`"
	}
	return "name a parent image for " + e.Want + ", or build for the parent's platform with `--platform " + e.Have + "`"
}
