// SPDX-License-Identifier: Apache-2.0

package code

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"net/url"

	"inlay/resolve/plan"
)

// entrypoint fetches the source when a container starts. It is the same in all
// images: what differs is in the environment.
//
//go:embed entrypoint.py
var entrypoint string

// Where the entrypoint is in images.
const (
	EntrypointDir  = "/usr/local/lib/inlay"
	entrypointName = "fetch.py"
)

// Variable is that of the environment which says where the source is.
const Variable = "INLAY_CODE"

// Entrypoint returns the files that images get in EntrypointDir.
func Entrypoint() []plan.File {
	return []plan.File{{
		Path: entrypointName, Mode: 0o644, Size: int64(len(entrypoint)), Text: entrypoint,
		Digest: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(entrypoint))),
	}}
}

// Command returns how the entrypoint is called, for the command that follows
// these words to find the source in target. Nothing of the environment or of the
// user's home changes what Python it is.
func Command(python, target string) []string {
	return []string{python, "-I", EntrypointDir + "/" + entrypointName, target}
}

// CommitLocation is the value of Variable for a commit.
func CommitLocation(c plan.Commit) string {
	at := "git+" + c.URL + "@" + c.ID
	if c.Subdirectory != "" {
		at += "#" + url.Values{"subdirectory": {c.Subdirectory}}.Encode()
	}
	return at
}

// UploadLocation is the value of Variable for a file of a store.
func UploadLocation(store, name, digest string) string {
	return store + "/" + name + "#sha256=" + digest
}
