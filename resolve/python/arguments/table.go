// SPDX-License-Identifier: Apache-2.0

package arguments

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"inlay/layers/pattern"
)

// An action is what becomes of an argument.
type action int

const (
	decides         action = iota // handed to the call that decides
	places                        // handed to that and to the one that looks files up
	environment                   // set in the installer's environment
	constrains                    // a file of bounds
	overrides                     // a file of requirements that replace those of packages
	builds                        // handed to what builds sources
	buildConstrains               // a file of bounds on what that needs
	indexes                       // a package index
	finds                         // a directory or a page of wheels
	onlyFinds                     // no index is asked
	torch                         // the build of torch
	anyway                        // what happens anyway, or has no meaning here
	refused
)

// A shape is what an argument takes.
type shape int

const (
	flag shape = iota
	one
	many
)

// both installers have an argument.
const both = "uv, pip"

// An argument is a row of the table.
type argument struct {
	of          string // "uv", "pip" or both
	names       []string
	takes       shape
	does        action
	as          string // what the installer is given: the flag, or the variable
	example     string
	null        string   // the value that null stands for, "" if one must be given
	choices     []string // that it takes, if only these
	form        func() *regexp.Regexp
	counterpart string // what the other installer calls it
	why         string // it has no effect or is refused
	instead     string // what to do in place of a refused one
}

// names splits a list of names.
func names(list string) []string { return strings.Fields(list) }

var table = sync.OnceValue(func() []argument {
	return slices.Concat(choosing(), finding(), building(), reaching(), noEffect(), notHere())
})

// choosing are the arguments that decide which versions are chosen.
func choosing() []argument {
	return []argument{
		{of: both, names: names("no-deps"), does: decides, as: "--no-deps"},
		{of: "uv", names: names("pre"), does: decides, as: "--prerelease=allow"},
		{of: "pip", names: names("pre"), does: decides, as: "--pre"},
		{of: "uv", names: names("prerelease"), takes: one, does: decides, as: "--prerelease", example: "allow", choices: names("disallow allow if-necessary explicit if-necessary-or-explicit"), counterpart: "pre"},
		{of: "uv", names: names("resolution"), takes: one, does: decides, as: "--resolution", example: "lowest-direct", choices: names("highest lowest lowest-direct")},
		{of: "uv", names: names("exclude-newer"), takes: one, does: places, as: "--exclude-newer", example: "2026-01-31", counterpart: "uploaded-prior-to"},
		{of: "pip", names: names("uploaded-prior-to"), takes: one, does: decides, as: "--uploaded-prior-to", example: "2026-01-31", counterpart: "exclude-newer"},
		{of: both, names: names("upgrade U"), does: decides, as: "--upgrade"},
		{of: "uv", names: names("upgrade-package P"), takes: many, does: decides, as: "--upgrade-package", example: "numpy"},
		{of: "pip", names: names("upgrade-strategy"), takes: one, does: decides, as: "--upgrade-strategy", example: "eager", choices: names("only-if-needed eager")},
		{of: "uv", names: names("reinstall force-reinstall"), does: decides, as: "--reinstall", counterpart: "force-reinstall"},
		{of: "uv", names: names("reinstall-package"), takes: many, does: decides, as: "--reinstall-package", example: "numpy"},
		{of: "pip", names: names("force-reinstall"), does: decides, as: "--force-reinstall"},
		{of: "pip", names: names("ignore-installed I"), does: decides, as: "--ignore-installed", counterpart: "reinstall"},
		{of: "pip", names: names("ignore-requires-python"), does: decides, as: "--ignore-requires-python"},
		{of: both, names: names("require-hashes"), does: decides, as: "--require-hashes"},
		{of: both, names: names("constraint constraints c"), takes: many, does: constrains, example: "constraints.txt"},
		{of: "uv", names: names("override overrides"), takes: many, does: overrides, example: "overrides.txt"},
		{of: both, names: names("no-binary"), takes: many, does: places, as: "--no-binary", example: "numpy"},
		{of: both, names: names("only-binary"), takes: many, does: places, as: "--only-binary", example: `":all:"`},
		{of: "uv", names: names("no-build"), does: places, as: "--no-build", counterpart: "only-binary"},
		{of: "pip", names: names("prefer-binary"), does: decides, as: "--prefer-binary"},
		{
			of: "uv", names: names("torch-backend"), takes: one, does: torch, example: "cpu", null: "none",
			form: pattern.New(`^(?:auto|none|cpu|xpu|cu[0-9]+|rocm[0-9.]+)$`),
		},
		{of: "pip", names: names("torch-backend"), takes: one, does: torch, example: "none", null: "none", choices: names("auto none")},
	}
}

// finding are the arguments that say where packages are.
func finding() []argument {
	return []argument{
		{of: both, names: names("index-url i"), takes: one, does: indexes, as: "default", example: "https://pypi.example.com/simple"},
		{of: "uv", names: names("default-index"), takes: one, does: indexes, as: "default", example: "https://pypi.example.com/simple", counterpart: "index-url"},
		{of: both, names: names("extra-index-url"), takes: many, does: indexes, example: "https://pypi.example.com/simple"},
		{of: "uv", names: names("index"), takes: many, does: indexes, example: "https://pypi.example.com/simple", counterpart: "extra-index-url"},
		{of: both, names: names("find-links f"), takes: many, does: finds, example: "wheels"},
		{of: both, names: names("no-index"), does: onlyFinds},
		{
			of: "uv", names: names("index-strategy"), takes: one, does: places, as: "--index-strategy", example: "unsafe-best-match",
			choices: names("first-index unsafe-first-match unsafe-best-match"),
		},
	}
}

// building are the arguments that say how sources are built.
func building() []argument {
	return []argument{
		{of: both, names: names("config-settings C"), takes: many, does: builds, as: "--config-setting", example: "KEY=VALUE"},
		{of: "uv", names: names("config-setting"), takes: many, does: builds, as: "--config-setting", example: "KEY=VALUE", counterpart: "config-settings"},
		{of: "uv", names: names("config-settings-package"), takes: many, does: builds, as: "--config-settings-package", example: "numpy:KEY=VALUE"},
		{of: both, names: names("no-build-isolation"), does: builds, as: "--no-build-isolation"},
		{of: "uv", names: names("no-build-isolation-package"), takes: many, does: builds, as: "--no-build-isolation-package", example: "numpy"},
		{of: "uv", names: names("no-sources"), does: builds, as: "--no-sources"},
		{of: both, names: names("build-constraint"), takes: many, does: buildConstrains, example: "constraints.txt"},
		{of: "uv", names: names("build-constraints b"), takes: many, does: buildConstrains, example: "constraints.txt", counterpart: "build-constraint"},
	}
}

// reaching are the arguments that say how the network is asked.
func reaching() []argument {
	seconds := pattern.New(`^[0-9]+(?:\.[0-9]+)?$`)
	number := pattern.New(`^[0-9]+$`)
	return []argument{
		{of: "uv", names: names("timeout default-timeout"), takes: one, does: environment, as: "UV_HTTP_TIMEOUT", example: "60", form: number},
		{of: "pip", names: names("timeout default-timeout"), takes: one, does: environment, as: "PIP_DEFAULT_TIMEOUT", example: "60", form: seconds},
		{of: "uv", names: names("retries"), takes: one, does: environment, as: "UV_HTTP_RETRIES", example: "3", form: number},
		{of: "pip", names: names("retries"), takes: one, does: environment, as: "PIP_RETRIES", example: "3", form: number},
	}
}

// noEffect are the arguments that change nothing here.
func noEffect() (all []argument) {
	add := func(of, why, list string) {
		all = append(all, argument{of: of, names: names(list), does: anyway, why: why})
	}
	add(both, "wheels go where the parent's Python has its packages", "break-system-packages")
	add("uv", "wheels go where the parent's Python has its packages", "system no-break-system-packages")
	add(both, "the cache is never in a layer", "no-cache-dir cache-dir")
	add("uv", "the cache is never in a layer", "no-cache n")
	add("uv", "wheels become layers without being installed", "link-mode")
	add(both, "`bytecode` says whether modules are compiled", "no-compile")
	add("uv", "`bytecode` says whether modules are compiled", "no-compile-bytecode")
	add("pip", "sources are built in the sandbox, in a place of their own, as PEP 517 says", "use-pep517 check-build-dependencies no-clean src")
	add(both, "it is about what the installer prints", "quiet q verbose v no-color")
	add("uv", "it is about what the installer prints", "color no-progress")
	add("pip", "it is about what the installer prints", "progress-bar root-user-action no-warn-script-location no-warn-conflicts disable-pip-version-check")
	add("pip", "nobody is asked", "no-input exists-action")
	add("uv", "no configuration of uv is read", "no-config")
	add("pip", "no configuration of pip is read", "isolated")
	add("uv", "no other Python than the parent's is looked for", "no-python-downloads managed-python no-managed-python")
	return all
}

// notHere are the arguments that can't be honoured, with the reason.
func notHere() (all []argument) {
	add := func(of, why, instead, list string) {
		all = append(all, argument{of: of, names: names(list), does: refused, why: why, instead: instead})
	}
	add(both, "wheels go where the parent's Python has its packages", "", "target t prefix root user")
	add(both, "the Python is the parent's", "name another interpreter of the parent in `python`", "python p python-version python-platform platform abi implementation")
	add(both, "what is installed stands in the settings", "write it in `requirements`, or name a project in `pyproject_path`",
		"requirement requirements r editable e group extra all-extras only-deps requirements-from-script")
	add(both, "the resolution is read from it", "see `inlay plan`", "dry-run report output-format log debug")
	add(both, "bytecode has layers of its own", "write `bytecode: on`", "compile compile-bytecode")
	add(both, "a wheel is fetched without the installer, whose certificates don't count then", "name the certificates in the variable SSL_CERT_FILE", "cert client-cert trusted-host allow-insecure-host system-certs native-tls")
	add(both, "a wheel is fetched without the installer, whose proxy doesn't count then", "name it in the variable HTTPS_PROXY", "proxy no-proxy-env")
	add(both, "inlay knows the credentials", "write `auth: keyring` in `indexes`", "keyring-provider")
	add("uv", "it would remove packages of the parent", "", "exact")
	add("uv", "inlay checks what is installed", "give `--strict` to inlay", "strict")
	add("uv", "the digest of every file is checked", "", "no-verify-hashes")
	add("uv", "it is inlay's", "give `--refresh` to inlay", "refresh refresh-package")
	add("uv", "it is inlay's", "give `--offline` to inlay", "offline")
	add("pip", "it is inlay's", "give `--refresh` to inlay", "refresh-package")
	add("uv", "it leads to other settings than these", "", "config-file directory project")
	add("pip", "what it changes was not tested", "", "use-feature use-deprecated require-virtualenv")
	return all
}

// Row describes arguments for the documentation.
type Row struct {
	Names, Installers, Effect string
}

// Rows returns the table as the documentation has it.
func Rows() []Row {
	rows := make([]Row, len(table()))
	for i, a := range table() {
		shown := make([]string, len(a.names))
		for j, n := range a.names {
			shown[j] = "`" + n + "`"
		}
		rows[i] = Row{Names: strings.Join(shown, ", "), Installers: a.of, Effect: a.effect()}
	}
	return rows
}

// effect says in words what becomes of a.
func (a argument) effect() string {
	takes := map[shape]string{one: "; one value", many: "; a value or a list"}[a.takes]
	if len(a.choices) > 0 {
		takes = "; one of " + strings.Join(a.choices, ", ")
	}
	switch a.does {
	case decides, places:
		return fmt.Sprintf("`%s`%s", a.as, takes)
	case environment:
		return fmt.Sprintf("`%s`%s", a.as, takes)
	case constrains:
		return "bounds on what is installed: files in CONTEXT" + takes
	case overrides:
		return "requirements in place of what packages require: files in CONTEXT" + takes
	case builds:
		return fmt.Sprintf("`%s`, where sources are built%s", a.as, takes)
	case buildConstrains:
		return "bounds on what sources need to be built: files in CONTEXT" + takes
	case indexes:
		if a.as == "default" {
			return "the index in place of the installer's own" + takes
		}
		return "more indexes" + takes
	case finds:
		return "directories of wheels and sources in CONTEXT, or URLs of pages that link to some" + takes
	case onlyFinds:
		return "no index is asked, only what `find-links` names"
	case torch:
		return "the build of torch: see below" + takes
	case anyway:
		return "no effect, with a warning: " + a.why
	case refused:
		return "an error: " + a.why
	}
	return ""
}
