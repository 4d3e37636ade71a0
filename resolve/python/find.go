// SPDX-License-Identifier: Apache-2.0

package python

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"inlay/cache/disk"
	"inlay/cache/fetch"
	"inlay/layers/pattern"
	"inlay/resolve/index"
	"inlay/resolve/parent"
)

// The uv versions that this package was tested with. What it reads of uv is no
// interface that uv promises.
const (
	oldestUV = "0.6.15" // the first that writes pylock.toml
	newestUV = "0.13"   // and its patch releases
	pinnedUV = "0.13.9"
)

// stableTorch is the first uv that takes --torch-backend without --preview.
const stableTorch = "0.7.14"

// A UV is a uv executable.
type UV struct {
	Path    string
	Version string // "0.13.9"
}

// FindOptions say where FindUV looks.
type FindOptions struct {
	// LookPath finds a program on the user's PATH, as exec.LookPath does.
	LookPath func(name string) (string, error)
	// Runner runs what was found.
	Runner Runner
	// Env is the user's environment as KEY=VALUE. uv and pip see the part of it
	// that says how to reach the network and, for pip, its own settings.
	Env []string
	// Store remembers what programs say of their versions; nil doesn't.
	Store Store
	// Dir keeps a uv that had to be fetched.
	Dir string
	// Index has the package indexes to fetch it from, before pip is asked, which
	// has its own.
	Index *index.Set
	// Files downloads it, with the Transport of Index. Its Offline holds for the
	// whole search.
	Files *fetch.Store
}

// FindUV returns the uv on the PATH if it is of a tested version, else the one
// that was fetched before, else it fetches a pinned version from the package
// index. The pinned one is never run before its sha256 was checked. If there is
// no way to get one the error is a *NoUVError.
func FindUV(ctx context.Context, o FindOptions) (UV, error) {
	uv, reason := o.onPath(ctx)
	if reason == "" {
		return uv, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return UV{}, fmt.Errorf("looking for uv: %w", err)
	}
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return UV{}, err
	}
	p, ok := pins[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return UV{}, &NoUVError{Tried: []string{reason, "none is pinned for " + runtime.GOOS + "/" + runtime.GOARCH}}
	}
	uv, err = o.pinned(ctx, p)
	var none *NoUVError
	if errors.As(err, &none) {
		none.Tried = append([]string{reason}, none.Tried...)
	}
	return uv, err
}

// FindBuildUV returns a uv to run in an image with that C library, whatever else
// the image has: the one that FindUV finds if it can run there, else the pinned
// one, which is static.
func FindBuildUV(ctx context.Context, o FindOptions, libc parent.Libc) (UV, error) {
	uv, err := FindUV(ctx, o)
	if err != nil {
		return UV{}, err
	}
	own, err := runsIn(uv.Path, libc)
	if err != nil || own {
		return uv, err
	}
	look := o.LookPath
	o.LookPath = func(name string) (string, error) {
		if name == "uv" {
			return "", fmt.Errorf("%s is a script, or needs more than a C library", uv.Path)
		}
		return look(name)
	}
	return FindUV(ctx, o)
}

// runsIn reports whether a program runs where there is nothing but a C library.
// It isn't static if it names its interpreter.
func runsIn(program string, libc parent.Libc) (bool, error) {
	f, err := elf.Open(program)
	var script *elf.FormatError
	if errors.As(err, &script) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", program, err)
	}
	defer func() { _ = f.Close() }()
	i := slices.IndexFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
	if i < 0 {
		return true, nil
	}
	loader, err := io.ReadAll(io.LimitReader(f.Progs[i].Open(), maxLoader))
	return libc.Family == "glibc" && strings.HasPrefix(string(loader), "/lib") && strings.Contains(string(loader), "/ld-linux"), err
}

// maxLoader bounds the path of a program's loader.
const maxLoader = 4096

// onPath returns the uv of the user, or why there is none.
func (o FindOptions) onPath(ctx context.Context) (UV, string) {
	program, err := o.LookPath("uv")
	if err != nil {
		return UV{}, absent("uv", err)
	}
	version := o.versionOf(ctx, program)
	if version == "" {
		return UV{}, program + " doesn't tell its version"
	}
	if !tested(version) {
		return UV{}, fmt.Sprintf("%s is uv %s, which was not tested: %s to %s were", program, version, oldestUV, pinnedUV)
	}
	return UV{Path: program, Version: version}, ""
}

var versionLine = pattern.New(`^uv (\d+\.\d+\.\d+)(?:\s|$)`)

// tested reports whether version is from oldestUV up to newestUV.
func tested(version string) bool {
	return between(version, oldestUV, newestUV)
}

// between reports whether version is from oldest up to newest, of which only
// the first numbers may be given.
func between(version, oldest, newest string) bool {
	v, last := numbers(version), numbers(newest)
	return atLeast(version, oldest) && slices.Compare(v[:min(len(v), len(last))], last) <= 0
}

func atLeast(version, oldest string) bool {
	return slices.Compare(numbers(version), numbers(oldest)) >= 0
}

func numbers(version string) []int {
	parts := strings.Split(version, ".")
	n := make([]int, len(parts))
	for i, p := range parts {
		n[i], _ = strconv.Atoi(p) // digits, by versionLine
	}
	return n
}

// A pin is a file of the pinned version.
type pin struct {
	file       string // a wheel
	tag        string // the platform that pip knows it by
	digest     string // sha256 of the wheel
	executable string // sha256 of the program in it
}

// pins are by the machine that this program runs on. Linux's are static.
var pins = map[string]pin{
	"linux/amd64": {
		file:       "uv-0.13.9-py3-none-musllinux_1_1_x86_64.whl",
		tag:        "musllinux_1_1_x86_64",
		digest:     "2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25",
		executable: "edbfb9a3d00dc84148e6691cd8740781fdc32db6505d7ef88ba6c3e569d5bec9",
	},
	"linux/arm64": {
		file:       "uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
		tag:        "musllinux_1_1_aarch64",
		digest:     "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
		executable: "bbecb5ac518030bb5e84f1999c577228460192832ac24a92bd772735682979f4",
	},
	"darwin/amd64": {
		file:       "uv-0.13.9-py3-none-macosx_10_12_x86_64.whl",
		tag:        "macosx_10_12_x86_64",
		digest:     "c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5",
		executable: "9d275208c058354f9b300ea46a499c7a29de3249ae839503cadff2c01c159d69",
	},
	"darwin/arm64": {
		file:       "uv-0.13.9-py3-none-macosx_11_0_arm64.whl",
		tag:        "macosx_11_0_arm64",
		digest:     "66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63",
		executable: "0e17c316d23b33b4e840669f516f5cb7f5c1faa816ebd3824052ab50082ecefb",
	},
}

// pinned returns the pinned uv, fetching it if it isn't there or was changed.
func (o FindOptions) pinned(ctx context.Context, p pin) (UV, error) {
	uv := UV{Path: filepath.Join(o.Dir, pinnedUV, "uv"), Version: pinnedUV}
	if err := isExecutable(uv.Path, p); err == nil {
		return uv, mayRun(uv.Path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return UV{}, err
	}
	unlock, err := disk.Only(ctx, o.Dir, "uv")
	if err != nil {
		return UV{}, err
	}
	defer unlock()
	if isExecutable(uv.Path, p) == nil {
		return uv, mayRun(uv.Path) // another made it meanwhile
	}
	wheel, tried, err := o.Fetch(ctx, Tool{Name: "uv", Version: pinnedUV, File: p.file, Platform: p.tag, Digest: p.digest})
	if err != nil {
		return UV{}, err
	}
	if wheel == nil {
		return UV{}, &NoUVError{Tried: tried}
	}
	defer func() { _ = wheel.Close() }()
	if err := extract(wheel, p, filepath.Dir(uv.Path)); err != nil {
		return UV{}, err
	}
	return uv, mayRun(uv.Path)
}

// mayRun tells why a program that was made here can't run.
func mayRun(program string) error {
	const execute = 1 // X_OK
	if err := syscall.Access(program, execute); err != nil {
		return &NoExecError{Dir: filepath.Dir(program), Err: err}
	}
	return nil
}

// isExecutable checks the program called name. One that differs from the pinned one
// is fs.ErrNotExist.
func isExecutable(name string, p pin) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != p.executable {
		return fmt.Errorf("%s is not the pinned uv: %w", name, fs.ErrNotExist)
	}
	return nil
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], "ERROR: ")
}

// extract takes the program out of a wheel into dir.
func extract(wheel *os.File, p pin, dir string) error {
	info, err := wheel.Stat()
	if err != nil {
		return err
	}
	z, err := zip.NewReader(wheel, info.Size())
	if err != nil {
		return fmt.Errorf("reading %s: %w", p.file, err)
	}
	src, err := z.Open("uv-" + pinnedUV + ".data/scripts/uv")
	if err != nil {
		return fmt.Errorf("reading %s: %w", p.file, err)
	}
	defer func() { _ = src.Close() }()
	dst, err := disk.Create(dir)
	if err != nil {
		return err
	}
	defer dst.Abort()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(dst, h), src); err != nil {
		return fmt.Errorf("unpacking %s: %w", p.file, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != p.executable {
		return fmt.Errorf("the uv in %s has sha256 %s, not %s", p.file, got, p.executable)
	}
	if err := dst.Chmod(0o755); err != nil {
		return err
	}
	_, err = dst.Commit("uv")
	return err
}
