// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"inlay/assemble"
	"inlay/assemble/artifact"
	"inlay/assemble/record"
	"inlay/cache"
	"inlay/resolve"
	"inlay/resolve/catalog"
	"inlay/resolve/code"
	"inlay/resolve/plan"
	"inlay/resolve/python"
	"inlay/resolve/settings"
	"inlay/resolve/tree"
)

// An origin is where containers could get the source from.
type origin struct {
	git      code.Git
	offers   code.Offers
	commit   plan.Commit // of the repository, if that can be used
	store    string      // URL of the store, if that can be used
	endpoint string      // of its API
}

// findOrigin asks the stack, and the checkout if it matters.
func findOrigin(c *cli.Context, run *settings.Run, stack *catalog.Stack, dir string) (*origin, error) {
	o := &origin{endpoint: code.EndpointOf(stack)}
	o.store, o.offers.Store = code.StoreOf(stack, absolute([]string{dir})[0])
	o.git = code.Git{
		LookPath: lookPath, Runner: python.Exec{}, Env: os.Environ(), Dir: dir, Offline: c.Bool("offline"),
		IgnoreUntracked: on(os.Getenv("ZENML_CODE_REPOSITORY_IGNORE_UNTRACKED_FILES")),
		Written:         inDir(dir, append(writtenByFlags(c), o.directory()...)),
	}
	var repository string
	repository, o.offers.Repository = code.RepositoryOf(stack)
	if o.offers.Repository == nil && asks(run) && c.String("plan") == "" {
		o.commit, o.offers.Repository = o.git.Commit(c.Context, repository)
	}
	for _, err := range []error{o.offers.Repository, o.offers.Store} {
		var unusable *code.UnusableError
		if err != nil && !errors.As(err, &unusable) {
			return nil, err
		}
	}
	return o, nil
}

// asks reports whether an image of the pipeline may get its source from a
// repository.
func asks(run *settings.Run) bool {
	return code.Asks(run.Pipeline) || slices.ContainsFunc(run.Steps, func(s settings.Step) bool { return code.Asks(s.Docker) })
}

// on reads a variable as ZenML does.
func on(value string) bool {
	return slices.Contains([]string{"1", "y", "yes", "true", "on"}, strings.ToLower(value))
}

// directory is where the store is on this machine.
func (o *origin) directory() []string {
	if u, err := url.Parse(o.store); err == nil && u.Scheme == "file" {
		return []string{filepath.FromSlash(u.Path)}
	}
	return nil
}

// writtenByFlags lists the paths that flags name for the build to write to.
func writtenByFlags(c *cli.Context) (paths []string) {
	if dir, err := cacheDir(c); err == nil {
		paths = append(paths, dir)
	}
	if name := c.String("metadata-file"); name != "" {
		paths = append(paths, name)
	}
	for _, out := range c.StringSlice("output") {
		transport, path, _ := strings.Cut(out, ":")
		if transport == "oci" {
			path, _, _ = strings.Cut(path, ":")
		}
		if path != "" && transport != "engine" {
			paths = append(paths, path)
		}
	}
	return paths
}

// downloads reports whether an image's source comes from the repository.
func (o *origin) downloads(s *settings.Docker) bool {
	way, err := code.Decide(s, o.offers)
	return err == nil && way == code.Repository
}

// decideCode decides how the sources of all images get into their containers, and
// tells why not from where the stack has a place for them.
func (b *batch) decideCode(c *cli.Context, o *origin, stack *catalog.Stack) error {
	said := map[string]bool{}
	for _, j := range b.jobs {
		j.origin = o
		if c.String("plan") != "" {
			continue // that has decided
		}
		var err error
		if j.way, err = code.Decide(j.settings, o.offers); err != nil {
			return j.told(err)
		}
		for _, line := range j.passedOver(stack) {
			if !said[line] {
				said[line] = true
				b.show.Note(line)
			}
		}
	}
	return nil
}

// passedOver says why the source doesn't come from places of the stack that come
// before the one that it comes from.
func (j *job) passedOver(stack *catalog.Stack) (lines []string) {
	if stack == nil || j.settings.InstallCommand != "" || j.way == code.Repository {
		return nil
	}
	if !j.settings.NoRepository && len(stack.Of(catalog.CodeRepository)) > 0 {
		lines = append(lines, fmt.Sprintf("note: the source is not downloaded from the stack's code repository: %v", j.origin.offers.Repository))
	}
	if !j.settings.NoStore && j.way != code.Store && len(stack.Of("artifact_store")) > 0 {
		lines = append(lines, fmt.Sprintf("note: the source is not uploaded to the stack's artifact store: %v", j.origin.offers.Store))
	}
	return lines
}

// code is what the plan depends on of that.
func (j *job) code() resolve.Code {
	return resolve.Code{
		Way: j.way, Commit: j.origin.commit, Store: j.origin.store, Files: j.origin.git.Files,
		Digests: &tree.Cache{Store: values(j.site.cache, cache.Inventories), Name: "upload-" + j.treeName(), Now: j.begun},
	}
}

// A codePlace is the source of an image that doesn't hold it, as results tell of
// it.
type codePlace struct {
	Location string `json:"location"` // the value of INLAY_CODE
	Size     int64  `json:"size,omitempty"`
	moved    bool
}

// deliverCode puts the source where containers fetch it, if they do: before there
// is an image that wants it.
func (j *job) deliverCode(c *cli.Context) error {
	p := j.plan
	switch {
	case p.Code == nil:
		return nil
	case p.Code.Commit != nil:
		j.fetched = &codePlace{Location: code.CommitLocation(*p.Code.Commit)}
		return nil
	}
	if c.Bool("offline") && !strings.HasPrefix(p.Code.Store, "file:") {
		return &usageError{"--offline leaves no network to upload the source", "leave it out, or set allow_download_from_artifact_store to false"}
	}
	o := artifact.Options{Lookup: os.LookupEnv}
	if j.origin != nil {
		o.Endpoint = j.origin.endpoint
	}
	store, err := artifact.Open(p.Code.Store, o)
	if err != nil {
		return err
	}
	u, err := assemble.UploadCode(c.Context, p, assemble.Options{
		Cache: j.site.cache, Dirs: values(j.site.cache, cache.Inventories), Anew: j.anew(c), Tools: j.tools(p), Jobs: c.Int("jobs"), Progress: j.show.Start,
	}, store)
	if err != nil {
		return err
	}
	if u.Moved && u.Size > manyBytes {
		j.show.Note(fmt.Sprintf("warning: the source takes %s: name in .gitignore what it doesn't need", inBytes(u.Size)))
	}
	j.fetched = &codePlace{Location: code.UploadLocation(p.Code.Store, u.Name, u.Digest.Hex), Size: u.Size, moved: u.Moved}
	return nil
}

// manyBytes are more than sources usually have.
const manyBytes = 20 << 20

// tellCode says where the source is.
func (j *job) tellCode(w io.Writer) {
	f := j.fetched
	switch {
	case f == nil:
		return
	case f.Size == 0:
		fmt.Fprintln(w, "the image downloads its source")
	case f.moved:
		fmt.Fprintf(w, "uploaded the source, %s\n", inBytes(f.Size))
	default:
		fmt.Fprintln(w, "uploaded nothing: the store has the source")
	}
	fmt.Fprintf(w, "run it with %s=%s\n", code.Variable, f.Location)
}

// printCode says what would become of the source.
func printCode(w io.Writer, p plan.Plan) {
	switch {
	case p.Code == nil:
	case p.Code.Commit != nil:
		fmt.Fprintf(w, "the source is downloaded when a container starts: %s\n", code.CommitLocation(*p.Code.Commit))
	default:
		var n int64
		for _, f := range p.Code.Files.Files {
			n += f.Size
		}
		fmt.Fprintf(w, "the source, %s in %s, is uploaded to %s, and downloaded when a container starts\n", inBytes(n), count(len(p.Code.Files.Files), "file"), p.Code.Store)
	}
}

// recordCode describes it for the record.
func (j *job) recordCode() *record.Code {
	if j.fetched == nil {
		return nil
	}
	r := &record.Code{Location: j.fetched.Location}
	if p := j.plan.Code; p.Commit != nil {
		r.Repository, r.Commit, r.Subdirectory = p.Commit.URL, p.Commit.ID, p.Commit.Subdirectory
	}
	return r
}

// checkCode refuses images of an earlier build that don't get their source as the
// settings want it (spec/zenml.md section 4.3).
func (j *job) checkCode(from *record.Build, im record.Image) error {
	if !im.RequiresCodeDownload || j.plan.Code != nil {
		return nil
	}
	return &usageError{
		fmt.Sprintf("the image %s of build %s downloads its source when it starts, and as the settings are nothing is uploaded or downloaded", j.of.Name(), from.ID),
		"allow the download from a code repository or an artifact store, or leave `--build` out",
	}
}
