// SPDX-License-Identifier: Apache-2.0

// Package plan is the form a build takes between deciding and doing: every
// name is replaced by the digest of what it stands for. A plan is data, and
// the same plan gives the same image on every machine.
package plan

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Version is part of every key. It grows when the bytes made for a step
// change: a new compressor, another order of entries, another script body.
const Version = 1

// MaxSize bounds an encoded plan, in bytes.
const MaxSize = 256 << 20

// A Plan describes one image.
type Plan struct {
	Version  int     `json:"version"`
	Platform string  `json:"platform"`      // "linux/amd64"
	Created  int64   `json:"created"`       // of the image, in seconds since 1970: SOURCE_DATE_EPOCH or 0
	OCI      bool    `json:"oci,omitempty"` // its formats are OCI's, whatever the parent's are: it is to be part of an index
	Stages   []Stage `json:"stages"`        // the last one becomes the image
	Code     *Code   `json:"code,omitempty"`
}

// A Stage is a parent, the steps on top of it and the configuration.
type Stage struct {
	Parent Parent `json:"parent"`
	Steps  []Step `json:"steps"`
	Config Config `json:"config"`
}

// Scratch is the image of a Parent that is none: there is nothing below.
const Scratch = "scratch"

// A Parent is an image pinned by digest.
type Parent struct {
	Image  string `json:"image"`  // how to open it: "registry.example/python@sha256:…", "oci:DIR@sha256:…", or Below
	Digest string `json:"digest"` // of its manifest: "sha256:…"
}

// stagePrefix begins the image of a Parent that is another stage of the plan.
const stagePrefix = "stage:"

// Below is the image of a Parent that is stage i of the plan, which stands
// before the one that it is the parent of.
func Below(i int) string { return stagePrefix + strconv.Itoa(i) }

// Stage returns which stage of the plan p is; ok is false if it is none.
func (p Parent) Stage() (i int, ok bool) {
	text, ok := strings.CutPrefix(p.Image, stagePrefix)
	i, err := strconv.Atoi(text)
	return i, ok && err == nil
}

// A Step becomes one layer. Exactly one of its fields after Compression is set.
type Step struct {
	Name        string    `json:"name"`                  // for people and the image's history
	Compression string    `json:"compression,omitempty"` // of the layer: "" is gzip, or Zstd
	Remove      *Remove   `json:"remove,omitempty"`
	Apt         *Apt      `json:"apt,omitempty"`
	Python      *Python   `json:"python,omitempty"`
	Bytecode    *Bytecode `json:"bytecode,omitempty"`
	Files       *Files    `json:"files,omitempty"`
	Run         *Run      `json:"run,omitempty"`
}

// Zstd is the compression that only manifests in OCI's format can name.
const Zstd = "zstd"

// Base is what a step reads of the tree below it: the little that decides
// where its files land and what the directories on the way look like. All
// paths are absolute and clean; both lists are sorted by path.
type Base struct {
	Links []Link `json:"links,omitempty"`
	Dirs  []Dir  `json:"dirs,omitempty"`
}

// A Link is a symbolic link to a directory.
type Link struct {
	Path   string `json:"path"`
	Target string `json:"target"` // absolute, with every link on it resolved
}

// A Dir is a directory that is not simply root's with mode 0755. A layer that
// names it must repeat what it is, or engines change it.
type Dir struct {
	Path string      `json:"path"`
	Mode fs.FileMode `json:"mode"` // permission, setuid, setgid and sticky bits
	UID  int         `json:"uid"`
	GID  int         `json:"gid"`
}

// Remove hides paths of the layers below with whiteouts.
type Remove struct {
	Base
	Paths []string `json:"paths"` // absolute, sorted
}

// Python installs wheels.
type Python struct {
	Base
	Scheme Scheme  `json:"scheme"`
	Wheels []Wheel `json:"wheels"` // sorted by name
}

// A Scheme says where a Python installs to (sysconfig's installation paths),
// as absolute paths in the image.
type Scheme struct {
	Purelib     string `json:"purelib"`
	Platlib     string `json:"platlib"`
	Scripts     string `json:"scripts"`
	Data        string `json:"data"`
	Headers     string `json:"headers"`
	Interpreter string `json:"interpreter"` // for "#!" lines
	Version     string `json:"version"`     // "3.11"
}

// A Wheel is a file to download and install.
type Wheel struct {
	Name    string `json:"name"` // normalised (PEP 503)
	Version string `json:"version"`
	File    string `json:"file"` // file name (PEP 427)
	URL     string `json:"url"`
	Digest  string `json:"digest"`          // "sha256:…"
	Size    int64  `json:"size,omitempty"`  // bytes; 0 if the index doesn't say
	Source  Source `json:"source,omitzero"` // of a wheel that no index has; it has no URL then
}

// A Source is what a wheel was built of while the plan was made. The wheel is in
// the cache of that machine.
type Source struct {
	File    string `json:"file"`
	URL     string `json:"url"`
	Digest  string `json:"digest"`          // "sha256:…"
	Command string `json:"command"`         // that built it, isolated, over the parent
	Asked   string `json:"asked,omitempty"` // for people: which hosts that asked, "host.example:443 (CONNECT, 2×, 9 kB)"
}

// Files are copied from the build context.
type Files struct {
	Base
	Target  string      `json:"target"`         // absolute
	Mode    fs.FileMode `json:"mode,omitempty"` // permissions that the target gets beside those it has
	UID     int         `json:"uid"`
	GID     int         `json:"gid"`
	ModTime int64       `json:"modTime"`        // of every entry, in seconds since 1970
	Keep    bool        `json:"keep,omitempty"` // the target is there, and stays whose it is
	From    string      `json:"from,omitempty"` // which context the files come from; "" is that of the build
	Files   []File      `json:"files"`          // sorted by path
}

// A File is a file, directory or symbolic link of the build context.
type File struct {
	Path   string      `json:"path"` // relative to the target, slash-separated and clean
	Mode   fs.FileMode `json:"mode"` // type and permission bits
	Link   string      `json:"link,omitempty"`
	Size   int64       `json:"size,omitempty"`
	Digest string      `json:"digest,omitempty"` // of a regular file's content: "sha256:…"
	Text   string      `json:"text,omitempty"`   // the content of a file that is not the context's
	Source string      `json:"source,omitempty"` // its path in the context if that isn't Path
}

// In returns where the file is in its context.
func (f File) In() string { return cmp.Or(f.Source, f.Path) }

// Config holds the changes to the parent's configuration.
type Config struct {
	Env         []string          `json:"env,omitempty"` // KEY=VALUE; a key that exists is replaced in place
	User        string            `json:"user,omitempty"`
	WorkDir     string            `json:"workDir,omitempty"`
	Entrypoint  []string          `json:"entrypoint"` // null: the parent's
	Cmd         []string          `json:"cmd"`        // null: the parent's, unless Entrypoint is set
	Labels      map[string]string `json:"labels,omitempty"`
	Ports       []string          `json:"ports,omitempty"`       // "8080/tcp", beside the parent's; sorted
	Volumes     []string          `json:"volumes,omitempty"`     // beside the parent's; sorted
	Shell       []string          `json:"shell,omitempty"`       // of Docker's builds on the image; nil is the parent's
	StopSignal  string            `json:"stopSignal,omitempty"`  // "" is the parent's
	Healthcheck *Healthcheck      `json:"healthcheck,omitempty"` // nil is the parent's
	Annotations map[string]string `json:"annotations,omitempty"` // of the manifest
}

// A Healthcheck is how an engine finds out whether a container works: a field of
// Docker's configuration, with times in nanoseconds.
type Healthcheck struct {
	Test          []string      `json:",omitempty"`
	Interval      time.Duration `json:",omitempty"`
	Timeout       time.Duration `json:",omitempty"`
	StartPeriod   time.Duration `json:",omitempty"`
	StartInterval time.Duration `json:",omitempty"`
	Retries       int           `json:",omitempty"`
}

// Kind names the kind of s: "remove", "apt", "python", "bytecode", "files" or "run".
func (s Step) Kind() string {
	switch {
	case s.Remove != nil:
		return "remove"
	case s.Apt != nil:
		return "apt"
	case s.Python != nil:
		return "python"
	case s.Bytecode != nil:
		return "bytecode"
	case s.Files != nil:
		return "files"
	case s.Run != nil:
		return "run"
	default:
		return ""
	}
}

// Image returns the stage that becomes the image.
func (p Plan) Image() Stage { return p.Stages[len(p.Stages)-1] }

// Chain returns the stages whose layers the image has, the lowest first.
func (p Plan) Chain() []int {
	var chain []int
	for i, ok := len(p.Stages)-1, true; ok; i, ok = p.Stages[i].Parent.Stage() {
		chain = append(chain, i)
	}
	slices.Reverse(chain)
	return chain
}

// Parent returns the image below all stages of the image.
func (p Plan) Parent() Parent { return p.Stages[p.Chain()[0]].Parent }

// Encode writes p as indented JSON.
func (p Plan) Encode(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(p)
}

// Decode reads a plan written by Encode. It refuses one of another version,
// with unknown fields, of no stage, or with a step that is not of exactly one
// kind or is compressed in an unknown way.
func Decode(r io.Reader) (Plan, error) {
	d := json.NewDecoder(io.LimitReader(r, MaxSize))
	d.DisallowUnknownFields()
	var p Plan
	if err := d.Decode(&p); err != nil {
		return Plan{}, fmt.Errorf("reading a plan: %w", err)
	}
	if err := p.check(); err != nil {
		return Plan{}, fmt.Errorf("reading a plan: %w", err)
	}
	return p, nil
}

func (p Plan) check() error {
	if p.Version != Version {
		return fmt.Errorf("it is of version %d, this program reads version %d: plan the build again", p.Version, Version)
	}
	if len(p.Stages) == 0 {
		return errors.New("it has no stages")
	}
	if err := p.Code.check(); err != nil {
		return err
	}
	for i, stage := range p.Stages {
		if on, ok := stage.Parent.Stage(); ok && (on < 0 || on >= i) {
			return fmt.Errorf("stage %d stands on stage %d, which is not before it", i, on)
		}
		for j, s := range stage.Steps {
			if err := s.check(); err != nil {
				return fmt.Errorf("step %d of stage %d %w", j, i, err)
			}
		}
	}
	return nil
}

// check returns what is wrong with s, a sentence without its subject.
func (s Step) check() error {
	switch {
	case s.kinds() != 1:
		return fmt.Errorf("is of %d kinds, want exactly one", s.kinds())
	case s.Apt != nil && s.Apt.Part && len(s.Apt.Debs) != 1:
		return fmt.Errorf("is a part of %d packages, want exactly one", len(s.Apt.Debs))
	case s.Compression != "" && s.Compression != Zstd:
		return fmt.Errorf("has a compression that is unknown, %q", s.Compression)
	}
	return nil
}

func (s Step) kinds() (n int) {
	for _, set := range []bool{s.Remove != nil, s.Apt != nil, s.Python != nil, s.Bytecode != nil, s.Files != nil, s.Run != nil} {
		if set {
			n++
		}
	}
	return n
}
