// SPDX-License-Identifier: Apache-2.0

package python

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"inlay/layers/pattern"
	"inlay/resolve/parent"
	"inlay/resolve/plan"
)

// torchFamily are the packages whose builds for CPU and CUDA differ and must be
// of one kind.
var torchFamily = []string{"torch", "torchvision", "torchaudio"}

// A build of torch is named as uv's --torch-backend names it: "cpu", "cu128",
// "rocm6.4", "xpu"; "cu" is CUDA of an unknown version.
type torchBuild string

// String returns the build in words.
func (b torchBuild) String() string {
	name := string(b)
	digits := strings.TrimPrefix(name, "cu")
	switch {
	case name == "cpu" || name == "xpu":
		return strings.ToUpper(name)
	case strings.HasPrefix(name, "rocm"):
		return "ROCm " + strings.TrimPrefix(name, "rocm")
	case digits != name && len(digits) > 1:
		return "CUDA " + digits[:len(digits)-1] + "." + digits[len(digits)-1:]
	case name == "cu":
		return "CUDA"
	default:
		return name
	}
}

func (b torchBuild) isCUDA() bool { return strings.HasPrefix(string(b), "cu") }

// A TorchError reports that the default package index has another build of
// torch than the parent wants, and that the one it wants can't be had.
type TorchError struct {
	Torch  string // "torch 2.9.0"
	Found  string // "CUDA 12.8"
	Wanted string // "CPU"
	Pip    bool   // the installer is pip, which knows of no builds
	Err    error  // why it can't be had, nil if nobody was asked
}

func (e *TorchError) Error() string {
	because := "the parent has no CUDA"
	if e.Wanted != "CPU" {
		because = "the parent has " + e.Wanted
	}
	text := fmt.Sprintf("the package index has the %s build of %s, and %s", e.Found, e.Torch, because)
	if e.Err != nil {
		text += fmt.Sprintf("; the %s build can't be had: %v", e.Wanted, e.Err)
	}
	return text
}

// Unwrap returns why the wanted build can't be had.
func (e *TorchError) Unwrap() error { return e.Err }

// Hint says the ways out.
func (e *TorchError) Hint() string {
	hint := fmt.Sprintf("to install the %s build all the same, write `torch-backend: none` in `python_package_installer_args`; "+
		"for the %s build, name an index that has it in `indexes`", e.Found, e.Wanted)
	if e.Pip {
		return hint + ", or use uv, which knows of one"
	}
	return hint
}

// ask asks the installer, and asks again where its answer has another build of
// torch than the parent wants.
func (r *Resolver) ask(ctx context.Context, req Request, groups []Group) (_ *answer, err error) {
	if r.Progress != nil {
		_, done := r.Progress("resolving requirements", 0)
		defer func() { done(err) }()
	}
	chosen := req.Arguments.Torch
	req.torch = map[bool]string{true: "", false: chosen}[chosen == "auto" || chosen == "none"]
	a, err := r.askOnce(ctx, req, groups)
	if err != nil {
		return nil, err
	}
	if req.torch == "" && chosen != "none" && !choosesTorch(req, groups) {
		if a, err = r.askForTorch(ctx, req, groups, a); err != nil {
			return nil, err
		}
	}
	a.Torch = describeTorch(a.Wheels)
	if a.Torch == "" {
		a.Warnings = append(a.Warnings, bringsCUDA(groups, a.Wheels)...)
	}
	return a, nil
}

// askForTorch returns a, or if its build of torch isn't the wanted one, the
// answer to the same question with that.
func (r *Resolver) askForTorch(ctx context.Context, req Request, groups []Group, a *answer) (*answer, error) {
	i := slices.IndexFunc(a.Wheels, func(w plan.Wheel) bool { return slices.Contains(torchFamily, w.Name) && localVersion(w.Version) == "" })
	if i < 0 {
		return a, nil
	}
	found, wanted := buildOf(a.Wheels), wantedTorch(req.Inventory)
	if !hasTorch(a.Wheels) {
		// The parent's torch stays: what comes beside it is of its build, if that
		// is known.
		found, wanted = "", installedTorch(req.Inventory.Python.Dists)
	}
	if wanted == "" || found == wanted {
		return a, nil
	}
	e := &TorchError{Torch: a.Wheels[i].Name + " " + a.Wheels[i].Version, Found: found.String(), Wanted: wanted.String()}
	if req.Installer == installerPip {
		if wanted != "cpu" || !found.isCUDA() {
			return a, nil // what pip finds runs there too
		}
		e.Pip = true
		return nil, e
	}
	req.torch, req.Refresh = string(wanted), false
	again, err := r.askOnce(ctx, req, groups)
	switch {
	case ctx.Err() != nil:
		return nil, err
	case err != nil:
		e.Found, e.Err = cmp.Or(e.Found, "default"), err
		return nil, e
	}
	return again, nil
}

func hasTorch(wheels []plan.Wheel) bool {
	return slices.ContainsFunc(wheels, func(w plan.Wheel) bool { return w.Name == "torch" })
}

// localVersion returns what follows the + of a version: "cu128" of
// "2.9.0+cu128".
func localVersion(version string) string {
	_, local, _ := strings.Cut(version, "+")
	return local
}

var torchIndex = pattern.New(`/(?:cpu|xpu|cu[0-9]+|rocm[0-9.]+)(?:/simple)?/?$`)

// choosesTorch reports whether the user says which build of torch is meant: by
// a local version, a URL, a package of CUDA's, or an index of one build.
func choosesTorch(req Request, groups []Group) bool {
	for _, set := range req.indexes {
		for _, x := range set.Indexes() {
			if torchIndex().MatchString(x.URL) {
				return true
			}
		}
	}
	for _, g := range groups {
		for _, l := range slices.Concat(g.Lines, g.Constraints) {
			family := slices.Contains(torchFamily, l.Name)
			if family && (l.URL != "" || strings.Contains(l.Text, "+")) || strings.HasPrefix(l.Name, "nvidia-") {
				return true
			}
		}
	}
	return false
}

// buildOf returns the build of the torch among wheels. The package index's own
// names CUDA by the packages that it requires; before 2.0 it came with CUDA
// inside, which its size tells.
func buildOf(wheels []plan.Wheel) torchBuild {
	const withCUDA = 400 << 20 // CPU builds take half of that
	build := torchBuild("cpu")
	for _, w := range wheels {
		switch {
		case w.Name == "torch" && localVersion(w.Version) != "":
			return torchBuild(localVersion(w.Version))
		case w.Name == "torch" && w.Size > withCUDA, isCUDA(w.Name):
			build = "cu"
		}
	}
	for _, w := range wheels {
		if build == "cu" && (strings.HasPrefix(w.Name, "nvidia-cuda-runtime") || w.Name == "cuda-toolkit") {
			return cudaBuild(w.Version)
		}
	}
	return build
}

func isCUDA(name string) bool {
	return strings.HasPrefix(name, "nvidia-") || name == "cuda-toolkit" || name == "cuda-bindings"
}

// cudaBuild returns "cu128" of "12.8.90", "cu" of what is no version.
func cudaBuild(version string) torchBuild {
	parts := strings.Split(version, ".")
	if len(parts) < 2 {
		return "cu"
	}
	return torchBuild("cu" + parts[0] + parts[1])
}

// publishedCUDA are the versions of CUDA for which torch has builds of late.
var publishedCUDA = []int{118, 121, 124, 126, 128, 129, 130, 132}

// wantedTorch returns the build for a parent: that of its torch, else the newest
// for its CUDA, else the one for CPU.
func wantedTorch(inv *parent.Inventory) torchBuild {
	if build := installedTorch(inv.Python.Dists); build != "" {
		return build
	}
	for _, kv := range inv.Config.Config.Env {
		if version, ok := strings.CutPrefix(kv, "CUDA_VERSION="); ok {
			return published(cudaBuild(version))
		}
	}
	return "cpu"
}

// published returns the newest build that has no newer CUDA than b.
func published(b torchBuild) torchBuild {
	n, err := strconv.Atoi(strings.TrimPrefix(string(b), "cu"))
	if err != nil {
		return "cpu"
	}
	for _, p := range slices.Backward(publishedCUDA) {
		if p <= n {
			return torchBuild(fmt.Sprintf("cu%d", p))
		}
	}
	return b
}

var torchLocal = pattern.New(`^(?:cpu|xpu|cu[0-9]+|rocm[0-9.]+)$`)

// installedTorch returns the build of the parent's torch, "" if there is none or
// its version doesn't tell.
func installedTorch(dists []parent.Dist) torchBuild {
	for _, d := range dists {
		if local := localVersion(d.Version); d.Name == "torch" && torchLocal().MatchString(local) {
			return torchBuild(local)
		}
	}
	return ""
}

// describeTorch says which torch is among wheels, "" if none is.
func describeTorch(wheels []plan.Wheel) string {
	for _, w := range wheels {
		if version, _, _ := strings.Cut(w.Version, "+"); w.Name == "torch" {
			return fmt.Sprintf("torch %s: %s", version, buildOf(wheels))
		}
	}
	return ""
}

// bringsCUDA tells of packages of CUDA's that no requirement names.
func bringsCUDA(groups []Group, wheels []plan.Wheel) []string {
	var names []string
	for _, w := range wheels {
		named := slices.ContainsFunc(groups, func(g Group) bool {
			return slices.ContainsFunc(g.Lines, func(l Line) bool { return l.Name == w.Name })
		})
		if isCUDA(w.Name) && !named {
			names = append(names, w.Name+" "+w.Version)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{"the requirements bring parts of CUDA: " + strings.Join(names, ", ")}
}
