// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"inlay/assemble/step"
	"inlay/layers/leak"
	"inlay/layers/pattern"
	"inlay/resolve/plan"
)

// secretFlag names what the command that installs the source, and commands of a
// Dockerfile that say so, can read, and nothing holds.
func secretFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "secret", Usage: "let the command that installs the source, and RUN --mount=type=secret of a Dockerfile, read `id=ID,src=FILE`, or id=ID,env=NAME, as the file /run/secrets/ID; may be given several times"}
}

const secretForm = "write `--secret id=ID,src=FILE` or `--secret id=ID,env=NAME`" //nolint:gosec // it is none

// maxSecret is the most bytes of a secret, as with docker build.
const maxSecret = 500 << 10

var secretID = pattern.New(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)

// givenSecrets reads the secrets that the flags name. What they are is in no
// error.
func givenSecrets(c *cli.Context, lookup func(string) (string, bool)) ([]step.Secret, error) {
	var all []step.Secret
	for _, text := range c.StringSlice("secret") {
		s, err := givenSecret(text, lookup)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(all, func(other step.Secret) bool { return other.ID == s.ID }) {
			return nil, &usageError{fmt.Sprintf("--secret id=%s is given twice", s.ID), "leave one of them out"}
		}
		all = append(all, s)
	}
	return all, nil
}

func givenSecret(text string, lookup func(string) (string, bool)) (s step.Secret, err error) {
	fields, err := secretFields(text)
	if err != nil {
		return s, err
	}
	s.ID = fields["id"]
	if !secretID().MatchString(s.ID) {
		return s, &usageError{"--secret has no id that can be the name of a file", secretForm}
	}
	file, name := fields["src"], fields["env"]
	switch {
	case file != "" && name != "":
		return s, &usageError{fmt.Sprintf("--secret id=%s has both src and env", s.ID), "leave one of them out"}
	case file != "":
		s.Content, err = secretFile(file)
		if err != nil {
			return s, &usageError{fmt.Sprintf("--secret id=%s: %v", s.ID, err), "name the file that holds it"}
		}
	default:
		if name == "" {
			name = s.ID
		}
		value, ok := lookup(name)
		if !ok {
			return s, &usageError{fmt.Sprintf("--secret id=%s: the variable %s is not set", s.ID, name), "set it, or name a file: `--secret id=" + s.ID + ",src=FILE`"}
		}
		s.Content = []byte(value)
	}
	switch {
	case len(s.Content) == 0:
		return s, &usageError{fmt.Sprintf("--secret id=%s is empty", s.ID), "name what holds it"}
	case len(s.Content) > maxSecret:
		return s, &usageError{fmt.Sprintf("--secret id=%s has more than %d bytes", s.ID, maxSecret), "name the file that holds it and nothing else"}
	}
	return s, nil
}

// secretFields reads NAME=VALUE,… with the names that docker build has.
func secretFields(text string) (map[string]string, error) {
	names := map[string]string{"id": "id", "src": "src", "source": "src", "env": "env", "type": "type"}
	fields := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		if !ok || names[name] == "" || value == "" || name == "type" && value != "file" && value != "env" {
			return nil, &usageError{"--secret is not understood", secretForm} // the text may be the secret itself
		}
		fields[names[name]] = value
	}
	return fields, nil
}

// secretFile reads a file, up to a byte more than a secret may have.
func secretFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	return io.ReadAll(io.LimitReader(f, maxSecret+1))
}

// searched returns what the layers are searched for: the whole content, and of
// several lines the long ones that are one word, such as those of a key, or the
// value of such an assignment, and passwords as a netrc file has them.
func searched(s step.Secret) []leak.Secret {
	of := "--secret id=" + s.ID
	text := string(bytes.TrimSpace(s.Content))
	all := []leak.Secret{{Value: text, Of: of}}
	if !strings.Contains(text, "\n") {
		return all
	}
	for line := range strings.Lines(text) {
		for _, value := range valuesOf(line) {
			all = append(all, leak.Secret{Value: value, Of: of})
		}
	}
	return all
}

// valuesOf returns what of one line of several is searched for alone.
func valuesOf(line string) (all []string) {
	const long = 16
	words := strings.Fields(line)
	for i, w := range words {
		if i > 0 && words[i-1] == "password" {
			all = append(all, w)
		}
	}
	if len(words) != 1 || strings.HasPrefix(line, "-----") {
		return all
	}
	value := words[0]
	if _, after, ok := strings.Cut(value, "="); ok && strings.Trim(after, "=") != "" {
		value = strings.Trim(after, "\"'")
	}
	if len(value) >= long {
		all = append(all, value)
	}
	return all
}

// unread warns of secrets that nothing in p reads.
func (j *job) unread(p plan.Plan) {
	reads := func(s plan.Step) bool {
		return s.Run != nil && !s.Run.Configure && (!s.Run.Exact || len(s.Run.Secrets) > 0)
	}
	if len(j.given) > 0 && !slices.ContainsFunc(p.Stages, func(s plan.Stage) bool { return slices.ContainsFunc(s.Steps, reads) }) {
		j.show.Note("warning: --secret: this build has no `local_project_install_command` and no `RUN --mount=type=secret` that could read it")
	}
}
