// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"inlay/cache/fetch"
	"inlay/layers/leak"
	"inlay/resolve"
	"inlay/resolve/index"
	"inlay/resolve/plan"
	"inlay/resolve/python"
)

// indexes gathers the package indexes that flags, variables and settings name.
func (j *job) indexes(c *cli.Context) (*index.Set, error) {
	o := index.Options{
		Default:   c.String("index-url"),
		Extra:     c.StringSlice("extra-index-url"),
		Env:       j.environ(),
		Variables: j.settings.Environment,
		Unused:    j.settings.RuntimeEnvironment,
		Netrc:     netrcFile(),
		File:      j.readCredentials,
	}
	if !c.Bool("offline") {
		o.Keyring = keyring
	}
	for _, x := range j.settings.Indexes {
		o.Settings = append(o.Settings, index.Setting{
			Index: index.Index{Name: x.Name, URL: x.URL, Default: x.Default}, Auth: x.Auth,
			Fault: func(problem, fix string) error { return j.settings.FieldError(x.Field, problem, fix) },
		})
	}
	return index.Gather(c.Context, o)
}

// netrcFile returns the path of the user's netrc file, "" if there is none. A HOME
// that this user can't look into, as root's, or that is no directory has none.
func netrcFile() string {
	if named := os.Getenv("NETRC"); named != "" {
		return named
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	file := filepath.Join(home, ".netrc")
	if _, err := os.Lstat(file); err != nil {
		return ""
	}
	return file
}

// readCredentials reads a file that an index of the settings names.
func (j *job) readCredentials(path string) ([]byte, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(j.context, path)
	}
	return os.ReadFile(path)
}

// keyring runs the program keyring.
func keyring(ctx context.Context, args ...string) (string, error) {
	program, err := lookPath("keyring")
	if err != nil {
		return "", fs.ErrNotExist
	}
	var out, said bytes.Buffer
	exit, err := python.Exec{}.Run(ctx, python.Command{Path: program, Args: args, Env: os.Environ(), Stdout: &out, Stderr: &said})
	if err == nil && exit != 0 {
		err = fmt.Errorf("keyring ends with the status %d", exit)
	}
	return out.String(), err
}

// refused returns err, the answer to a request of a file, with a hint at the
// index that it belongs to if the server wants credentials, or others.
func refused(set *index.Set, url string, err error) error {
	var status *fetch.StatusError
	if errors.As(err, &status) && (status.Code == http.StatusUnauthorized || status.Code == http.StatusForbidden) {
		return set.Denied(url, err)
	}
	return err
}

// secrets returns what a build of p must not hold: the credentials that this
// command was given or found, and used. Those that the settings keep in the
// environment may be there, and nowhere else.
func (j *job) secrets(p plan.Plan) *leak.Scanner {
	var urls []string
	for _, st := range p.Image().Steps {
		if st.Python != nil {
			for _, w := range st.Python.Wheels {
				urls = append(urls, w.URL, w.Source.URL)
			}
		}
	}
	var all []leak.Secret
	for _, x := range j.index.Secrets(urls...) {
		all = append(all, leak.Secret(x))
	}
	for _, x := range j.site.logins.Secrets(debURLs(p)...) {
		all = append(all, leak.Secret(x))
	}
	for _, x := range j.given {
		all = append(all, searched(x)...)
	}
	for name, value := range j.args {
		if resolve.IsSecret(name, value) {
			all = append(all, leak.Secret{Value: value, Of: "the build argument " + name})
		}
	}
	var kept []string
	if j.settings.KeepSecrets {
		kept = slices.Concat(j.settings.Environment, j.settings.RuntimeEnvironment)
	}
	s := leak.New(all, kept...)
	for _, of := range s.Weak() {
		j.show.Note(fmt.Sprintf("warning: the password of %s is so short that the image can't be searched for it as it is: use a longer one", of))
	}
	return s
}
