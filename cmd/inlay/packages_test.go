// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"inlay/assemble/deb/debtest"
	"inlay/resolve/apt/archive/archivetest"
	"inlay/resolve/parent/parenttest"
)

// archiveCommand makes a signed Debian archive in a directory, with the suite
// bookworm: "archive DIR PACKAGE...". A package is NAME=VERSION[:DEPENDENCY,...],
// with "!" at its end one that is essential. It has a file /usr/share/NAME/file,
// and NAME says more: python3 brings a Python, users an account, and the
// postinst of odd needs a command that nobody knows, and rival can't be together with
// other. The key of the archive is
// in DIR.asc and in the variable KEY, and stays the same within a script.
func archiveCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: archive DIR PACKAGE...")
	}
	ts.Check(writeArchive(ts.MkAbs(args[0]), ts.Value("key").(*archivetest.Key), args[1:]))
}

// newArchiveKey makes the key of a script's archives. It must count today.
func newArchiveKey(e *testscript.Env) error {
	key, err := archivetest.NewKey(time.Now().Add(-2 * time.Hour))
	if err != nil {
		return err
	}
	text, err := key.Armoured()
	e.Values["key"] = key
	e.Setenv("KEY", text)
	e.Setenv("FINGERPRINT", key.Fingerprint())
	return err
}

func writeArchive(dir string, key *archivetest.Key, packages []string) error {
	var index strings.Builder
	for _, p := range packages {
		p, essential := strings.CutSuffix(p, "!")
		p, depends, _ := strings.Cut(p, ":")
		name, version, _ := strings.Cut(p, "=")
		raw := archivePackage(name, version, depends, essential).Bytes()
		file := fmt.Sprintf("pool/%s_%s_all.deb", name, version)
		if err := os.MkdirAll(filepath.Join(dir, "pool"), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), raw, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&index, "Package: %s\nVersion: %s\nArchitecture: all\nInstalled-Size: 10\n%sFilename: %s\nSize: %d\nSHA256: %x\n\n",
			name, version, archiveFields(name, depends, essential), file, len(raw), sha256.Sum256(raw))
	}
	text, err := key.Armoured()
	if err != nil {
		return err
	}
	if err := os.WriteFile(dir+".asc", []byte(text), 0o644); err != nil {
		return err
	}
	suite := archivetest.Suite{
		Name: "oldstable", Codename: "bookworm", Date: time.Now().Add(-time.Hour), Head: "Acquire-By-Hash: yes\nArchitectures: all amd64 arm64\nComponents: main\n",
		Indexes: map[string]string{"main/binary-amd64": index.String(), "main/binary-arm64": index.String()},
	}
	return suite.Write(filepath.Join(dir, "dists", "bookworm"), key)
}

func archiveFields(name, depends string, essential bool) (fields string) {
	if depends != "" {
		fields = "Depends: " + strings.ReplaceAll(depends, ",", ", ") + "\n"
	}
	if essential {
		fields += "Essential: yes\n"
	}
	switch name {
	case "rival":
		fields += "Conflicts: other\n"
	case "wishful":
		fields += "Recommends: other\n"
	}
	return fields
}

func archivePackage(name, version, depends string, essential bool) debtest.Deb {
	d := debtest.Deb{
		Name: name, Version: version, Arch: "all", Fields: archiveFields(name, depends, essential),
		Files: []debtest.File{
			{Name: "./"},
			{Name: "./usr/"},
			{Name: "./usr/share/"},
			{Name: "./usr/share/" + name + "/"},
			{Name: "./usr/share/" + name + "/file", Body: name + " " + version + "\n"},
		},
	}
	switch name {
	case "odd":
		d.Control = map[string]string{"postinst": "#!/bin/sh\nfrobnicate --all\n"}
	case "python3":
		elf := parenttest.ELF{Machine: 62, Interp: "/lib64/ld-linux-x86-64.so.2", Text: "\x003.11.2\x00"}.String()
		d.Files = append(d.Files, debtest.File{Name: "./usr/bin/"}, debtest.File{Name: "./usr/bin/python3", Link: "python3.11"},
			debtest.File{Name: "./usr/bin/python3.11", Body: elf, Mode: 0o755}, debtest.File{Name: "./usr/lib/"}, debtest.File{Name: "./usr/lib/python3.11/"},
			debtest.File{Name: "./usr/lib/python3.11/os.py", Body: "# a module\n"})
	case "users":
		d.Files = append(d.Files, debtest.File{Name: "./usr/sbin/"}, debtest.File{Name: "./usr/sbin/adduser", Body: "#!/usr/bin/perl\n", Mode: 0o755})
		d.Control = map[string]string{"postinst": "#!/bin/sh\nset -e\nadduser --system --group --no-create-home --home /nonexistent worker\n"}
	}
	return d
}

// debianCommand makes a parent of a Debian system that has dpkg alone, with an
// archive of archiveCommand as its source: "debian DIR ARCHIVE [PATH=CONTENT]...".
func debianCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: debian DIR ARCHIVE [PATH=CONTENT]...")
	}
	ts.Check(writeParent(ts.MkAbs(args[0]), append([]string{
		"etc/", "etc/passwd=root:x:0:0:root:/root:/bin/sh\n", "etc/group=root:x:0:\n", "etc/apt/keyrings/test.asc=" + ts.Getenv("KEY"),
		"etc/apt/sources.list=deb [signed-by=/etc/apt/keyrings/test.asc] " + ts.Getenv("FILES") + "/" + args[1] + " bookworm main\n",
		"usr/", "usr/bin/", "var/lib/dpkg/", "var/lib/dpkg/info/", "var/lib/dpkg/info/dpkg.list=/.\n",
		"var/lib/dpkg/status=Package: dpkg\nStatus: install ok installed\nMaintainer: Nobody <nobody@example.org>\nArchitecture: amd64\nVersion: 1.21\nDescription: made for a test\n",
	}, args[2:]...)))
}
