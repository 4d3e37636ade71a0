// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"inlay/layers/pattern"
	"inlay/resolve/apt"
	"inlay/resolve/apt/setup"
	"inlay/resolve/lock"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
	"inlay/resolve/settings"
)

// Packages resolves Debian packages; *apt.Resolver does.
type Packages interface {
	Resolve(ctx context.Context, req apt.Request, words []string) (*apt.Resolved, error)
}

// packages resolves the Debian packages that the settings name, in the parent:
// nil if they name none. known holds the answer if it is known.
func packages(ctx context.Context, req Request, inv *parent.Inventory, known *lock.Image) (*apt.Resolved, error) {
	s := req.Settings
	if len(s.Apt.Packages) == 0 {
		return nil, nil
	}
	if !slices.ContainsFunc(inv.Packages, isDebian) {
		return nil, s.FieldError("apt_packages", "the parent image has no dpkg, so Debian packages can't be added to it",
			"name a `parent_image` of Debian or Ubuntu, or leave `apt_packages` out")
	}
	q, err := packageRequest(req, inv.Platform)
	if err != nil {
		return nil, err
	}
	if r := packagesOf(known, q.Arch); r != nil {
		return r, nil
	}
	r, err := recalled(req, q, treeOf(inv), s.Apt.Packages, func() (*apt.Resolved, error) {
		if q.Parent, err = inv.View(ctx); err != nil {
			return nil, err
		}
		return req.Packages.Resolve(ctx, q, s.Apt.Packages)
	})
	if err != nil {
		return nil, fmt.Errorf("resolving apt_packages: %w", err)
	}
	for _, p := range r.Packages {
		if p.Replaces != "" {
			req.note("apt: %s %s of the parent becomes %s: %s", p.Name, p.Replaces, p.Version, p.Why)
		}
	}
	for _, g := range r.Removed {
		req.note("apt: %s %s of the parent is removed: %s", g.Name, g.Version, g.Why)
	}
	if len(r.Packages) == 0 {
		req.note("apt_packages: the parent has them all")
	}
	return r, nil
}

// isDebian reports whether p shows that its image has Debian packages: it has
// dpkg, or a file for each package, as distroless images do.
func isDebian(p parent.Package) bool {
	return p.Name == "dpkg" || strings.HasPrefix(p.Path, "/var/lib/dpkg/status.d/")
}

// packageRequest is what the settings say of packages.
func packageRequest(req Request, platform string) (apt.Request, error) {
	a := req.Settings.Apt
	q := apt.Request{Mirror: a.Mirror, Recommends: a.Recommends, AllowRemove: a.AllowRemove, Now: req.Now, Keyrings: map[string][]byte{}}
	var err error
	if q.Arch, err = debianArch(platform); err != nil {
		return q, err
	}
	for _, x := range a.Sources {
		key, err := readKey(req, x.Field+".key", x.Key)
		if err != nil {
			return q, err
		}
		name := "settings/" + x.Field + ".key"
		more, err := setup.NewSources(x.URL, x.Suites, x.Components, "/"+name, x.Field)
		if err != nil {
			return q, req.Settings.FieldError(x.Field, err.Error(), "write it as sources.list(5) has it")
		}
		q.Sources, q.Keyrings[name] = append(q.Sources, more...), key
	}
	return q, nil
}

// maxKey bounds a keyring, in bytes.
const maxKey = 4 << 20

// readKey reads a keyring that the settings name.
func readKey(req Request, field, name string) ([]byte, error) {
	file := inContext(req.Context, name)
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, req.Settings.FieldError(field, "there is no file "+name, "name a file with keys by its path in the context")
	case err == nil && (info.IsDir() || info.Size() > maxKey):
		return nil, req.Settings.FieldError(field, name+" is no file with keys", "name a file with keys by its path in the context")
	case err == nil:
		var b []byte
		if b, err = os.ReadFile(file); err == nil {
			return b, nil
		}
	}
	return nil, fmt.Errorf("reading a keyring: %w", err)
}

// recalled returns the answer to q for words in a parent with that tree: one that is
// known, unless a new one is wanted, or else that of ask.
func recalled(req Request, q apt.Request, tree string, words []string, ask func() (*apt.Resolved, error)) (*apt.Resolved, error) {
	question, err := json.Marshal(struct {
		Tree, Arch, Mirror    string
		Words                 []string
		Sources               []setup.Source
		Keyrings              map[string][]byte
		Recommends, Essential bool
		AllowRemove           bool `json:",omitempty"`
	}{tree, q.Arch, q.Mirror, words, q.Sources, q.Keyrings, q.Recommends, q.Essential, q.AllowRemove})
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("apt-1-%x", sha256.Sum256(question))
	if b, err := req.Answers.Get(name); err == nil && !req.Refresh {
		r := &apt.Resolved{}
		if json.Unmarshal(b, r) == nil {
			return r, nil
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	r, err := ask()
	if err != nil {
		return nil, err
	}
	for _, n := range r.Notes {
		req.note("note: %s", n)
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return r, req.Answers.Put(name, b)
}

// treeOf names the tree of a parent.
func treeOf(inv *parent.Inventory) string {
	ids := make([]string, len(inv.Layers))
	for i, l := range inv.Layers {
		ids[i] = l.DiffID
	}
	return plan.Tree(ids)
}

// An ArchError reports a platform that Debian has no architecture for.
type ArchError struct{ Platform string }

func (e *ArchError) Error() string { return "there are no Debian packages for " + e.Platform }

// Hint says what there is.
func (e *ArchError) Hint() string { return "build for another platform: `--platform linux/amd64`" }

// debianArch returns Debian's name for the architecture of a platform.
func debianArch(platform string) (string, error) {
	_, machine, _ := strings.Cut(platform, "/")
	switch machine {
	case "amd64", "arm64", "s390x", "riscv64":
		return machine, nil
	case "386":
		return "i386", nil
	case "arm/v7":
		return "armhf", nil
	case "arm/v5", "arm/v6":
		return "armel", nil
	case "ppc64le":
		return "ppc64el", nil
	default:
		return "", &ArchError{platform}
	}
}

// Packages from largePackage bytes on, which is about 32 MB unpacked, get layers of
// their own for their large files: the most of them, and the largest.
const (
	largePackage = 8 << 20
	largeMost    = 8
)

// aptSteps are the steps that install r on top of inv, if there is anything to
// install: the parts before the step that they are of.
func aptSteps(req Request, inv *parent.Inventory, r *apt.Resolved) []plan.Step {
	if r == nil || len(r.Packages) == 0 {
		return nil
	}
	whole := aptStep(req.Settings.Apt, r, treeOf(inv), req.Created)
	var steps []plan.Step
	for _, d := range largest(whole.Apt.Debs) {
		steps = append(steps, plan.Step{
			Name: "apt: large files of " + d.Name + " " + d.Version,
			Apt:  &plan.Apt{Part: true, Parent: whole.Apt.Parent, Scripts: plan.NoScripts, Created: req.Created, Debs: []plan.Deb{d}},
		})
		whole.Apt.Below = append(whole.Apt.Below, d.Digest)
	}
	slices.Sort(whole.Apt.Below)
	steps = append(steps, whole)
	steps = append(steps, configureSteps(whole)...)
	if req.Settings.Compression == plan.Zstd {
		for i := range steps {
			steps[i].Compression = plan.Zstd
		}
	}
	return steps
}

// configureSteps have dpkg configure what installing leaves, where that is wanted.
func configureSteps(whole plan.Step) []plan.Step {
	if whole.Apt.Scripts != plan.SandboxScripts {
		return nil
	}
	return []plan.Step{{Name: "apt: configure in the sandbox", Run: &plan.Run{
		Parent: whole.Apt.Parent, Command: []string{"dpkg", "--configure", "--pending"}, Dir: "/",
		Env: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8",
			"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true", "FORCE_SOURCE_DATE=1", // for TeX: the time of the image
		},
		Created: whole.Apt.Created, Configure: true, Setting: "apt.scripts: sandbox",
	}}}
}

// largest returns the packages that get layers of their own, in the order of debs.
func largest(debs []plan.Deb) []plan.Deb {
	large := slices.DeleteFunc(slices.Clone(debs), func(d plan.Deb) bool { return d.Size < largePackage })
	slices.SortStableFunc(large, func(a, b plan.Deb) int { return cmp.Compare(b.Size, a.Size) })
	large = large[:min(len(large), largeMost)]
	return slices.DeleteFunc(slices.Clone(debs), func(d plan.Deb) bool { return !slices.Contains(large, d) })
}

// aptStep is the step that installs r on top of a tree.
func aptStep(a settings.Apt, r *apt.Resolved, tree string, created int64) plan.Step {
	step := &plan.Apt{
		Parent: tree, Scripts: cmp.Or(a.Scripts, "native"), Unconfigured: slices.Sorted(slices.Values(a.Unconfigured)), Created: created,
	}
	var asked []string
	for _, p := range r.Packages {
		f := p.File()
		step.Debs = append(step.Debs, plan.Deb{
			Name: p.Name, Version: p.Version, Arch: p.Arch, File: path.Base(p.Filename), URL: f.URL, Digest: f.Digest.String(), Size: p.Size, Auto: p.Auto,
		})
		if p.Why.Requested {
			asked = append(asked, p.Name+" "+p.Version)
		}
	}
	for _, g := range r.Removed {
		step.Gone = append(step.Gone, plan.Gone{Name: g.Name, Version: g.Version})
	}
	slices.SortFunc(step.Debs, func(x, y plan.Deb) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Arch, y.Arch))
	})
	return plan.Step{Name: aptName(asked, len(r.Packages)), Apt: step}
}

// aptName is what the history says of a layer of packages: those that were asked
// for, and how many there are besides.
func aptName(asked []string, n int) string {
	const most = 4
	shown := asked[:min(len(asked), most)]
	name := "apt: " + strings.Join(shown, ", ")
	switch more := n - len(shown); {
	case more == 0:
		return name
	case len(shown) == 0:
		return fmt.Sprintf("apt: %d packages", more)
	default:
		return fmt.Sprintf("%s and %d more", name, more)
	}
}

// rePython matches the packages that bring or change a Python of the system.
var rePython = pattern.New(`^(lib)?python3|^python(-is-python3)?$`)

// grows reports whether what comes above the packages can only be decided when
// their layer is known: because there is no Python or no such user without it,
// or another Python with it.
func (r *Result) grows(req Request, requirements bool) bool {
	if r.Packages == nil || len(r.Packages.Packages) == 0 {
		return false
	}
	if user := req.Settings.User; user != "" {
		if _, _, err := r.Parent.Account(user); err != nil {
			return true
		}
	}
	return requirements && (r.Parent.Python == nil ||
		slices.ContainsFunc(r.Packages.Packages, func(p apt.Package) bool { return rePython().MatchString(p.Name) }) ||
		slices.ContainsFunc(r.Packages.Removed, func(g apt.Removal) bool { return rePython().MatchString(g.Name) }))
}

// grow lists what the parent holds once the packages are installed.
func (r *Result) grow(ctx context.Context, req Request) (*parent.Inventory, error) {
	stage := plan.Stage{
		Parent: plan.Parent{Image: r.Parent.Reference, Digest: r.Parent.Digest},
		Steps:  aptSteps(req, r.Parent, r.Packages),
	}
	if n := len(r.stages); n > 0 {
		stage.Parent.Image = plan.Below(n - 1)
	}
	return r.lookAt(ctx, req, append(slices.Clip(r.stages), stage), r.Parent)
}

// look lists what img holds, which stands for the parent of.
func look(ctx context.Context, req Request, img v1.Image, of *parent.Inventory) (*parent.Inventory, error) {
	inv, err := parent.Inspect(ctx, parent.Options{
		Image: img, Name: of.Name, Reference: of.Reference, Platform: of.Platform, Python: req.Settings.Python,
		Store: req.Store, Jobs: req.Jobs, Progress: req.Progress,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the parent image with its packages: %w", err)
	}
	for _, n := range inv.Notes {
		if !slices.Contains(of.Notes, n) {
			req.note("note: %s", n)
		}
	}
	return inv, nil
}
