// SPDX-License-Identifier: Apache-2.0

package dockerfile_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"inlay/resolve/dockerfile"
	"inlay/resolve/plan"
)

// texts are Dockerfiles whose lines are read as BuildKit reads them.
var texts = []string{
	"FROM a\n",
	"\ufeffFROM a\r\nRUN b\r\n",
	"# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN a `\n  b \\\n\nCMD c\n",
	"  from a  as B \n\trun x\n",
	"FROM a\nRUN a \\\n  # comment\n\n  && b \\\n# other\n  && c\n# end\n",
	"FROM a\nRUN echo \\\\\nRUN b \\  \n c\n",
	"FROM a\nRUN --mount=type=cache,target=/x --network=\"none\" -- x --y\n",
	"FROM a\nCOPY --chown=1:2 --chmod=755 a b/\nCOPY [\"a b\", \"c\"]\n",
	"FROM a\nHEALTHCHECK --interval=5m --retries=3 CMD curl x\n",
	"FROM a\nRUN <<EOF\nset -e\n# kept\necho \\\nEOF\nCMD x\n",
	"FROM a\nRUN python3 <<-'E1' && cat <<E2\n\tx\n\tE1\ny\nE2\nENV a=b\n",
	"FROM a\nENV A=b \\\n    C='d e' \\\n    E=\"f\\\"g\"\nLABEL x y z\n",
	"ARG A\nARG B=c\nFROM ${A}\nARG C=\"a b\" D\n",
	"FROM a\nRUN\\\n x\n",
}

// TestReadsAsBuildKit compares what is read of a Dockerfile with what BuildKit's
// own parser reads.
func TestReadsAsBuildKit(t *testing.T) {
	for _, text := range texts {
		compare(t, text)
	}
}

func FuzzReadsAsBuildKit(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = dockerfile.Parse("Dockerfile", []byte(text)) // ends
	})
}

func compare(t *testing.T, text string) {
	t.Helper()
	r, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatalf("BuildKit can't read %q: %v", text, err)
	}
	var want []dockerfile.Read
	for _, n := range r.AST.Children {
		name, _, _ := strings.Cut(strings.TrimSpace(n.Original), " ")
		name, _, _ = strings.Cut(name, "\t")
		w := dockerfile.Read{Line: n.StartLine, Name: strings.ToUpper(n.Value), Flags: n.Flags}
		for _, d := range n.Heredocs {
			w.Docs = append(w.Docs, d.Content)
		}
		if len(w.Flags) == 0 {
			w.Flags, w.Rest = nil, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(n.Original), name))
		}
		want = append(want, w)
	}
	got, err := dockerfile.Instructions(text)
	if err != nil {
		t.Errorf("reading %q: %v", text, err)
	}
	for i := range got {
		if len(got[i].Flags) > 0 {
			got[i].Rest = "" // BuildKit doesn't keep it
		}
		for j, d := range got[i].Docs { // BuildKit keeps it without the last line
			lines := strings.SplitAfter(strings.TrimSuffix(d, "\n"), "\n")
			got[i].Docs[j] = strings.Join(lines[:len(lines)-1], "")
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%q (-BuildKit +got):\n%s", text, diff)
	}
}

var options = dockerfile.Options{
	Args: []string{"GIVEN=one", "API_TOKEN=hunter2", "BASE=python:3.12"}, Platform: "linux/arm64/v8", Machine: "linux/amd64",
	Secret: func(name, _ string) bool { return strings.HasSuffix(name, "TOKEN") },
}

// evaluate evaluates the last stage of a text on an image of its own settings.
func evaluate(text string) ([]dockerfile.Op, dockerfile.State, error) {
	f, err := dockerfile.Parse("Dockerfile", []byte(text))
	if err != nil {
		return nil, dockerfile.State{}, err
	}
	stages, err := f.Stages(options)
	if err != nil {
		return nil, dockerfile.State{}, err
	}
	return stages[len(stages)-1].Evaluate(dockerfile.State{Env: []string{"PATH=/bin", "HOME=/root"}, WorkDir: "/w"}, options)
}

// TestEvaluate shows what each instruction comes to.
func TestEvaluate(t *testing.T) {
	shell := func(line string) []string { return []string{"/bin/sh", "-c", line} }
	env := []string{"PATH=/bin", "HOME=/root"}
	tests := []struct {
		text string
		ops  []dockerfile.Op
		want plan.Config
	}{
		{"ENV A=1 B=\"x y\" PATH=/opt:$PATH", nil, plan.Config{Env: []string{"A=1", "B=x y", "PATH=/opt:/bin"}}},
		{"ENV A=1\nENV A=2 B=$A C=${A:-x}${D:-y}${D:+z}", nil, plan.Config{Env: []string{"A=2", "B=1", "C=1y"}}},
		{"ENV A hello  world $HOME", nil, plan.Config{Env: []string{"A=hello  world /root"}}},
		{"ENV A='$HOME' B=\\$HOME", nil, plan.Config{Env: []string{"A=$HOME", "B=$HOME"}}},
		{"ARG GIVEN=zero OTHER=two\nENV A=$GIVEN B=$OTHER", nil, plan.Config{Env: []string{"A=one", "B=two"}}},
		{"ARG TARGETARCH TARGETVARIANT BUILDPLATFORM\nENV A=$TARGETARCH-$TARGETVARIANT-$BUILDPLATFORM$TARGETOS", nil, plan.Config{Env: []string{"A=arm64-v8-linux/amd64"}}},
		{"LABEL a=b \"c d\"='e f' g=$HOME", nil, plan.Config{Labels: map[string]string{"a": "b", "c d": "e f", "g": "/root"}}},
		{"USER app:1\nSTOPSIGNAL SIGINT\nVOLUME /a/ /b\nVOLUME [\"/c d\"]", nil, plan.Config{User: "app:1", StopSignal: "SIGINT", Volumes: []string{"/a", "/b", "/c d"}}},
		{"EXPOSE 80 443/TCP 7000-7001/udp", nil, plan.Config{Ports: []string{"443/tcp", "7000/udp", "7001/udp", "80/tcp"}}},
		{"CMD echo $HOME", nil, plan.Config{Cmd: shell("echo $HOME")}},
		{"CMD [\"a\", \"b c\"]\nENTRYPOINT x", nil, plan.Config{Entrypoint: shell("x"), Cmd: []string{"a", "b c"}}},
		{"CMD []", nil, plan.Config{Cmd: []string{}}},
		{"SHELL [\"/bin/bash\", \"-c\"]\nCMD x", nil, plan.Config{Shell: []string{"/bin/bash", "-c"}, Cmd: []string{"/bin/bash", "-c", "x"}}},
		{"HEALTHCHECK --retries=3 CMD curl x", nil, plan.Config{Healthcheck: &plan.Healthcheck{Test: []string{"CMD-SHELL", "curl x"}, Retries: 3}}},
		{"HEALTHCHECK CMD [\"a\"]", nil, plan.Config{Healthcheck: &plan.Healthcheck{Test: []string{"CMD", "a"}}}},
		{"HEALTHCHECK NONE", nil, plan.Config{Healthcheck: &plan.Healthcheck{Test: []string{"NONE"}}}},
		{
			"USER u\nWORKDIR a\nWORKDIR /b/../c",
			[]dockerfile.Op{{Line: 3, Text: "WORKDIR a", Dir: &dockerfile.Dir{Path: "/w/a", User: "u"}}, {Line: 4, Text: "WORKDIR /b/../c", Dir: &dockerfile.Dir{Path: "/c", User: "u"}}},
			plan.Config{User: "u", WorkDir: "/c"},
		},
		{
			"RUN a \\\n  && b $X", // as the shell gets it
			[]dockerfile.Op{{Line: 2, Text: "RUN a && b $X", Run: &dockerfile.Run{Command: shell("a   && b $X"), Dir: "/w", Env: env}}}, plan.Config{},
		},
		{
			"ARG API_TOKEN\nARG GIVEN\nARG D=x\nENV D=y\nRUN [\"a\"]",
			[]dockerfile.Op{{Line: 6, Text: "RUN [\"a\"]", Run: &dockerfile.Run{
				Command: []string{"a"}, Dir: "/w", Env: append(slices.Clip(env), "D=y"),
				Args: []dockerfile.Arg{{Name: "API_TOKEN", Value: "hunter2", Given: true, Secret: true}, {Name: "GIVEN", Value: "one", Given: true}},
			}}},
			plan.Config{Env: []string{"D=y"}},
		},
		{
			"RUN --mount=type=cache,target=/root/.cache/pip --mount=type=tmpfs,dst=t x",
			[]dockerfile.Op{{Line: 2, Text: "RUN --mount=type=cache,target=/root/.cache/pip --mount=type=tmpfs,dst=t x", Run: &dockerfile.Run{
				Command: shell("x"), Dir: "/w", Env: env, Caches: []string{"/root/.cache/pip", "/w/t"},
			}}},
			plan.Config{},
		},
		{
			"RUN --mount=type=secret,id=a,required --mount=type=secret,target=/run/secrets/b x",
			[]dockerfile.Op{{Line: 2, Text: "RUN --mount=type=secret,id=a,required --mount=type=secret,target=/run/secrets/b x", Run: &dockerfile.Run{
				Command: shell("x"), Dir: "/w", Env: env, Secrets: []string{"a", "b"},
			}}},
			plan.Config{},
		},
		{
			"RUN <<EOF\na\n b\nEOF",
			[]dockerfile.Op{{Line: 2, Text: "RUN <<EOF", Run: &dockerfile.Run{Command: shell("a\n b\n"), Dir: "/w", Env: env}}},
			plan.Config{},
		},
		{
			"RUN python3 <<EOF\nprint()\nEOF",
			[]dockerfile.Op{{Line: 2, Text: "RUN python3 <<EOF", Run: &dockerfile.Run{Command: shell("python3 <<EOF\nprint()\nEOF\n"), Dir: "/w", Env: env}}},
			plan.Config{},
		},
		{
			"COPY --chown=a:b --chmod=0750 --link a \"b c\" d/",
			[]dockerfile.Op{{Line: 2, Text: `COPY --chown=a:b --chmod=0750 --link a "b c" d/`, Copy: &dockerfile.Copy{
				Sources: []string{"a", "b c"}, Dest: "/w/d/", Owner: "a:b", Mode: "0750",
			}}},
			plan.Config{},
		},
		{
			"ADD [\"a\", \"/x\"]",
			[]dockerfile.Op{{Line: 2, Text: `ADD ["a", "/x"]`, Copy: &dockerfile.Copy{Add: true, Sources: []string{"a"}, Dest: "/x"}}},
			plan.Config{},
		},
		{"COPY . .", []dockerfile.Op{{Line: 2, Text: "COPY . .", Copy: &dockerfile.Copy{Sources: []string{"."}, Dest: "/w/"}}}, plan.Config{}},
	}
	for _, tt := range tests {
		ops, state, err := evaluate("FROM x\n" + tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if diff := cmp.Diff(tt.ops, ops, cmp.AllowUnexported(dockerfile.Stage{}, dockerfile.File{})); diff != "" {
			t.Errorf("%s: the operations (-want +got):\n%s", tt.text, diff)
		}
		if diff := cmp.Diff(tt.want, state.Changes); diff != "" {
			t.Errorf("%s: the configuration (-want +got):\n%s", tt.text, diff)
		}
	}
}

// TestStages finds what a target needs.
func TestStages(t *testing.T) {
	const text = `ARG TAG=3.11
ARG BASE
FROM alpine AS unused
FROM python:${TAG} AS build
FROM build AS test
FROM ${BASE} AS final
COPY --from=build /a /b
FROM final
`
	f, err := dockerfile.Parse("Dockerfile", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ target, want string }{
		{"", "3:python:3.11 5:python:3.12 7:=5"}, {"test", "3:python:3.11 4:=3"}, {"Build", "3:python:3.11"}, {"0", "2:alpine"},
	}
	for _, tt := range tests {
		o := options
		o.Target = tt.target
		stages, err := f.Stages(o)
		if err != nil {
			t.Errorf("Stages(%q): %v", tt.target, err)
		}
		var got []string
		for _, s := range stages {
			from := s.From
			if s.Of != nil {
				from = fmt.Sprintf("=%d", s.Of.Line-1)
			}
			got = append(got, fmt.Sprintf("%d:%s", s.Line-1, from))
		}
		if all := strings.Join(got, " "); all != tt.want {
			t.Errorf("Stages(%q) = %s, want %s", tt.target, all, tt.want)
		}
	}
}

// TestErrors names what can't be built, where it stands and what to do instead.
func TestErrors(t *testing.T) {
	tests := []struct{ text, want, hint string }{
		{"", "Dockerfile: there is no FROM in it", "FROM IMAGE"},
		{"RUN x\nFROM a", "Dockerfile:1: RUN: it stands before the first FROM", "move it below"},
		{"FROM a\nFRUN x", "Dockerfile:2: FRUN: there is no such instruction", "dockerfile.md"},
		{"FROM a\nRUN", "Dockerfile:2: RUN: it says nothing", "remove the line"},
		{"FROM a b", "Dockerfile:1: FROM: want the name of an image, perhaps with AS and the name of the stage", "AS NAME"},
		{"FROM a AS x\nFROM b AS X", "Dockerfile:2: FROM: there is a stage x above", "another name"},
		{"ARG X\nFROM $X", "Dockerfile:2: FROM: the name of the image is empty", "build_args"},
		{"FROM --platform=linux/s390x a", "Dockerfile:1: FROM: --platform=linux/s390x is not the platform of the image, linux/arm64/v8", "--platform linux/s390x"},
		{"# syntax=other/frontend\nFROM a", "Dockerfile:1: the syntax is that of another program, other/frontend", "parent_image"},
		{"# escape=x\nFROM a", `Dockerfile:1: "x" is no escape character`, "escape=\\"},
		{"FROM a\x00", "Dockerfile: it is no Dockerfile: too large, or not text", "dockerfile"},
		{"FROM a\nONBUILD RUN x", "Dockerfile:2: ONBUILD: is not supported: it is for other images", "in those"},
		{"FROM a\nMAINTAINER me", "Dockerfile:2: MAINTAINER: is not supported: Docker has deprecated it", "LABEL maintainer"},
		{"FROM a\nADD https://x/y /z", "Dockerfile:2: ADD: https://x/y is not on this machine, and nothing says what it must be", "RUN"},
		{"FROM a\nADD git@github.com:a/b /z", "Dockerfile:2: ADD: git@github.com:a/b is not on this machine, and nothing says what it must be", "RUN"},
		{"FROM a\nADD --checksum=x a b", "Dockerfile:2: ADD --checksum: is not supported", "remove `--"},
		{"FROM a\nCOPY --parents a b", "Dockerfile:2: COPY --parents: is not supported", "remove `--"},
		{"FROM a\nCOPY --exclude=x a b", "Dockerfile:2: COPY --exclude: is not supported", "remove `--"},
		{"FROM a\nCOPY --chmod=u+x a b", "Dockerfile:2: COPY --chmod=u+x: want an octal number", "755"},
		{"FROM a\nCOPY a", "Dockerfile:2: COPY: want what to copy, and where to", "DESTINATION"},
		{"FROM a\nCOPY a b /c", "Dockerfile:2: COPY: several files go into a directory", "/c/"},
		{"FROM a\nCOPY <<EOF /x\na\nEOF", "Dockerfile:2: COPY: a text in place of a file is not supported", "file of the context"},
		{"FROM a\nRUN <<EOF\na", "Dockerfile:2: RUN: the text after <<EOF has no end", "EOF"},
		{"FROM a\nRUN <<EOF\n#!/usr/bin/env python3\nEOF", "Dockerfile:2: RUN: a script that names its interpreter is not supported", "python3 <<EOF"},
		{"FROM a\nRUN --mount=type=secret y", "Dockerfile:2: RUN --mount=type=secret: the secret has no name", "id=NAME"},
		{"FROM a\nRUN --mount=type=secret,id=x,dst=/root/.netrc y", "Dockerfile:2: RUN --mount=type=secret,id=x,dst=/root/.netrc: a secret at /root/.netrc is not supported", "/run/secrets/x"},
		{"FROM a\nRUN --mount=type=secret,id=x,required=false y", "Dockerfile:2: RUN --mount=type=secret,id=x,required=false: a secret that may be missing is not supported", "remove required"},
		{"FROM a\nRUN --mount=type=secret,id=x,mode=0444 y", "Dockerfile:2: RUN --mount=type=secret,id=x,mode=0444: the option mode of a secret is not supported", "remove it"},
		{"FROM a\nRUN --mount=type=bind,target=/x y", "Dockerfile:2: RUN --mount=type=bind,target=/x: a mount of the type bind is not supported", "`COPY"},
		{"FROM a\nRUN --mount=type=ssh y", "Dockerfile:2: RUN --mount=type=ssh: a mount of the type ssh is not supported", "remove"},
		{"FROM a\nRUN --mount=type=cache,target=/x,from=b y", "Dockerfile:2: RUN --mount=type=cache,target=/x,from=b: a mount of files is not supported", "`COPY"},
		{"FROM a\nRUN --mount=type=cache y", "Dockerfile:2: RUN --mount=type=cache: the mount has no target", "target=/PATH"},
		{"FROM a\nRUN --network=none y", "Dockerfile:2: RUN --network=none: is not supported", "--allow-host"},
		{"FROM a\nRUN --security=insecure y", "Dockerfile:2: RUN --security: is not supported", "remove `--"},
		{"FROM a\nRUN --mount=type=cache,target=/x", "Dockerfile:2: RUN: it has no command", "behind the flags"},
		{"FROM a\nEXPOSE http", `Dockerfile:2: EXPOSE: "http" is no port`, "number"},
		{"FROM a\nEXPOSE 70000", `Dockerfile:2: EXPOSE: "70000" is no port from 1 to 65535`, "numbers"},
		{"FROM a\nVOLUME data", `Dockerfile:2: VOLUME: "data" is not absolute`, "whole path"},
		{"FROM a\nSHELL bash", "Dockerfile:2: SHELL: want the words of a command as JSON has them", "SHELL ["},
		{"FROM a\nENV A", "Dockerfile:2: ENV: want a name and a value", "NAME=VALUE"},
		{"FROM a\nENV A=b C", `Dockerfile:2: ENV: "C" is not of the form NAME=VALUE`, "quotes"},
		{"FROM a\nENV A=${B", `Dockerfile:2: ENV: "${B" can't be read`, "braces"},
		{"FROM a\nUSER $NOBODY", "Dockerfile:2: USER: it is empty", "variables"},
		{"FROM a\nHEALTHCHECK curl", `Dockerfile:2: HEALTHCHECK: "curl" is neither CMD nor NONE`, "HEALTHCHECK CMD"},
		{"FROM a\nHEALTHCHECK --interval=x CMD y", "Dockerfile:2: HEALTHCHECK: --interval=x is not a time, or a number", "30s"},
		{"FROM a\nLABEL --x=y a=b", "Dockerfile:2: LABEL --x: is not supported", "remove `--"},
		{"FROM a\nARG API_TOKEN\nENV T=$API_TOKEN", "Dockerfile:3: ENV: the argument API_TOKEN seems to hold a secret, and would become part of the image", "RUN only"},
		{"FROM a\nARG MY_TOKEN=x\nLABEL t=a${MY_TOKEN}b", "Dockerfile:3: LABEL: the argument MY_TOKEN seems to hold a secret, and would become part of the image", "RUN only"},
	}
	for _, tt := range tests {
		_, _, err := evaluate(tt.text)
		var e *dockerfile.Error
		if !errors.As(err, &e) {
			t.Errorf("%q gave %v, want an error", tt.text, err)
			continue
		}
		if !strings.HasPrefix(e.Error(), tt.want) || !strings.Contains(e.Hint(), tt.hint) {
			t.Errorf("%q gave\n%s\n%s, want\n%s\n%s", tt.text, e, e.Hint(), tt.want, tt.hint)
		}
	}
	f, err := dockerfile.Parse("Dockerfile", []byte("FROM a AS x\nFROM b"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Stages(dockerfile.Options{Target: "y"}); err == nil || err.Error() != `Dockerfile: there is no stage "y" in it` {
		t.Errorf("a stage that isn't there gave %v", err)
	}
}
