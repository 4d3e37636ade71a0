// SPDX-License-Identifier: Apache-2.0

package output

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"inlay/layers/pattern"
)

// Engine delivers to a container engine of this machine: it streams an archive
// into the engine's own program, and no copy of it lies on disk. All blobs are
// sent, also those that the engine has, as it can't be asked. The image is there
// without a name until it is published; then the tags are moved one by one.
type Engine struct {
	Name     string     // one of Engines; "" means the first of them that is there
	Tags     []name.Tag // at least one
	Run      Run
	Progress Progress
}

// Run runs a program to its end. The error is an *exec.ExitError if the program
// failed, and exec.ErrNotFound if there is none of that name.
type Run func(ctx context.Context, c Call) error

// A Call is a program to run.
type Call struct {
	Program string // its name, as a shell finds it
	Args    []string
	Stdin   io.Reader // nil: nothing
	Stdout  io.Writer
	Stderr  io.Writer
}

// An engine is how one is spoken to.
type engine struct {
	name    string
	program string
	probe   []string // fails if the engine can't be used
	load    []string // takes an archive from standard input
	tag     []string // takes an image and its new name
	// pack returns what the archive holds, and what the image is called in it.
	pack func(context.Context, *item, name.Tag) (*item, []part, string, error)
	// called returns how the engine writes a tag.
	called func(name.Tag) string
}

var engines = []engine{
	{"docker", "docker", []string{"version", "--format", "{{.Server.Version}}"}, []string{"load"}, []string{"tag"}, packDocker, familiar},
	{"podman", "podman", []string{"version"}, []string{"load", "-q"}, []string{"tag"}, packDocker, familiar},
	{
		"containerd", "ctr",
		[]string{"--connect-timeout", "3s", "version"},
		[]string{"images", "import", "-"},
		[]string{"images", "tag", "--force"},
		packOCI, canonical,
	},
}

// Engines names the engines that are known, in the order in which they are
// looked for.
func Engines() []string {
	names := make([]string, len(engines))
	for i, e := range engines {
		names[i] = e.name
	}
	return names
}

// packDocker packs an image without a name: the engine prints what it is known
// by.
func packDocker(ctx context.Context, it *item, _ name.Tag) (*item, []part, string, error) {
	it, parts, err := Tarball{}.manifest(ctx, it)
	return it, parts, "", err
}

// packOCI packs an image that is called by its digest.
func packOCI(_ context.Context, it *item, tag name.Tag) (*item, []part, string, error) {
	it, err := it.inOCI()
	if err != nil {
		return nil, nil, "", err
	}
	full := strings.TrimSuffix(canonical(tag), ":"+tag.TagStr()) + "@" + it.manifest.Digest.String()
	d := it.manifest.Descriptor
	d.Platform, d.Annotations = it.platform, map[string]string{"io.containerd.image.name": full}
	raw, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{d}})
	return it, []part{{layoutFile, []byte(layoutVersion)}, {indexFile, raw}}, full, err
}

// canonical returns tag in full, as containerd keeps it.
func canonical(tag name.Tag) string {
	if tag.RegistryStr() != name.DefaultRegistry {
		return tag.Name()
	}
	return "docker.io/" + tag.RepositoryStr() + ":" + tag.TagStr()
}

// A NoEngineError reports that no engine is there to take the image.
type NoEngineError struct {
	Tried []string // which, and why not
}

func (e *NoEngineError) Error() string {
	return "no container engine can be used: " + strings.Join(e.Tried, "; ")
}

// Hint says where the image can go instead.
func (e *NoEngineError) Hint() string {
	return "start one, or write a file: --output docker-archive:FILE"
}

// An EngineError reports an engine's program that failed.
type EngineError struct {
	Command string
	Said    string // the end of what it wrote to standard error
	Err     error
}

func (e *EngineError) Error() string {
	if e.Said == "" {
		return fmt.Sprintf("%s: %v", e.Command, e.Err)
	}
	return fmt.Sprintf("%s: %v: %s", e.Command, e.Err, e.Said)
}

// Unwrap returns what became of the program.
func (e *EngineError) Unwrap() error { return e.Err }

// Hint says how to come by the image anyway.
func (e *EngineError) Hint() string {
	return "see what the engine itself logged, or write a file: --output docker-archive:FILE"
}

// Reach fails if no engine is there.
func (e Engine) Reach(ctx context.Context) error {
	_, err := e.find(ctx)
	return delivering(err)
}

func delivering(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("delivering to an engine: %w", err)
}

// find returns the engine that takes the image.
func (e Engine) find(ctx context.Context) (engine, error) {
	none := &NoEngineError{}
	for _, en := range engines {
		if e.Name != "" && e.Name != en.name {
			continue
		}
		_, err := e.call(ctx, en, nil, en.probe)
		if err == nil || ctx.Err() != nil {
			return en, ctx.Err()
		}
		none.Tried = append(none.Tried, en.name+": "+whyNot(en, err))
	}
	return engine{}, none
}

func whyNot(en engine, err error) string {
	var failed *EngineError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "there is no program " + en.program
	case errors.As(err, &failed) && failed.Said != "":
		return failed.Said
	}
	return err.Error()
}

// call runs the engine's program and returns what it printed.
func (e Engine) call(ctx context.Context, en engine, stdin io.Reader, args []string) (string, error) {
	var stdout, stderr ending
	err := e.Run(ctx, Call{en.program, args, stdin, &stdout, &stderr})
	if err == nil {
		return stdout.String(), nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return "", &EngineError{strings.Join(append([]string{en.program}, args...), " "), stderr.line(), err}
}

// An ending keeps the end of what is written to it.
type ending struct{ b []byte }

const maxEnding = 4 << 10

// Write never fails.
func (w *ending) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	if extra := len(w.b) - maxEnding; extra > 0 {
		w.b = slices.Delete(w.b, 0, extra)
	}
	return len(p), nil
}

// String returns what was kept.
func (w *ending) String() string { return string(w.b) }

// line returns the last line that says something.
func (w *ending) line() string {
	lines := bytes.Split(bytes.TrimSpace(w.b), []byte("\n"))
	return strings.ToValidUTF8(string(bytes.TrimSpace(lines[len(lines)-1])), "?")
}

// Begin starts a delivery.
func (e Engine) Begin() (Delivery, error) { return &loading{Engine: e}, nil }

// Write loads img and names it.
func (e Engine) Write(ctx context.Context, img v1.Image) (Delivered, error) {
	return write(ctx, e.Begin, img)
}

// A loading is the delivery of one image to an engine.
type loading struct {
	Engine
	engine engine
	id     string // what the engine knows the image by
	done   Delivered
}

// Add does nothing: archives hold whole images.
func (l *loading) Add(context.Context, v1.Layer) error { return nil }

// Complete loads the image, which has no tag then.
func (l *loading) Complete(ctx context.Context, img v1.Image) error {
	return delivering(l.complete(ctx, img))
}

func (l *loading) complete(ctx context.Context, img v1.Image) (err error) {
	if l.engine, err = l.find(ctx); err != nil {
		return err
	}
	it, err := itemOf(img)
	if err != nil {
		return err
	}
	it, parts, called, err := l.engine.pack(ctx, it, l.Tags[0])
	if err != nil {
		return err
	}
	said, err := l.load(ctx, it, parts)
	if err != nil {
		return err
	}
	if l.id = called; called == "" {
		if l.id = loaded().FindString(said); l.id == "" {
			return &EngineError{l.engine.program + " load", said, errors.New("it doesn't say what the image is called")}
		}
	}
	l.done = Delivered{
		Reference: l.id, Digest: it.manifest.Digest, Engine: l.engine.name,
		Moved: len(it.blobs), Bytes: it.size(),
	}
	return nil
}

// loaded finds the image in "Loaded image ID: sha256:…".
var loaded = pattern.New(`sha256:[0-9a-f]{64}`)

// load streams the archive into the engine. If its making fails the engine's
// program is killed before it could take what it has for all.
func (l *loading) load(ctx context.Context, it *item, parts []part) (said string, err error) {
	add, done := l.Progress.start("loading into "+l.engine.name, it.size())
	defer func() { done(err) }()
	running, kill := context.WithCancel(ctx)
	defer kill()
	r, w := io.Pipe()
	filled := make(chan error, 1)
	go func() {
		err := fill(running, tar.NewWriter(w), it.all(), parts, add)
		if err != nil {
			kill()
		}
		_ = w.CloseWithError(err) // nil ends the stream; it never fails
		filled <- err
	}()
	said, err = l.call(running, l.engine, r, l.engine.load)
	_ = r.CloseWithError(errStopped) // if it didn't read to the end
	if broken := <-filled; broken != nil && !errors.Is(broken, errStopped) {
		return "", broken
	}
	return said, err
}

// errStopped is what the archive's writer sees of an engine that reads no more.
var errStopped = errors.New("the engine stopped reading")

// Publish moves the tags.
func (l *loading) Publish(ctx context.Context) (Delivered, error) {
	for _, tag := range l.Tags {
		args := append(slices.Clone(l.engine.tag), l.id, l.engine.called(tag))
		if _, err := l.call(ctx, l.engine, nil, args); err != nil {
			return Delivered{}, delivering(err)
		}
	}
	return l.done, nil
}

// Close leaves an image without a tag to the engine, which may have had it
// before and removes such images when it is told to prune.
func (l *loading) Close() {}
