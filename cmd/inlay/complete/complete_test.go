// SPDX-License-Identifier: Apache-2.0

package complete_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"inlay/cmd/inlay/complete"
)

// chosen is a flag that knows its values.
type chosen struct{ *cli.StringFlag }

func (chosen) Choices() []string { return []string{"text", "json"} }

func app() *cli.App {
	return &cli.App{Commands: []*cli.Command{
		{Name: "build", Usage: "build it", ArgsUsage: "[CONTEXT]", Flags: []cli.Flag{
			&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "read `FILE`"},
			&cli.StringSliceFlag{Name: "output", Usage: "write to `OUTPUT`"},
			&cli.BoolFlag{Name: "push", Usage: "push it"},
			chosen{&cli.StringFlag{Name: "format", Usage: "print `FORMAT`"}},
			&cli.IntFlag{Name: "jobs", Usage: "make `N` at a time"},
		}},
		{Name: "diff", ArgsUsage: "IMAGE IMAGE"},
		{Name: "shell", ArgsUsage: "bash|zsh"},
		{Name: "cache", Subcommands: []*cli.Command{{Name: "show"}, {Name: "prune"}}},
		{Name: "__complete", Hidden: true},
	}}
}

func TestLine(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	for _, name := range []string{"src/main.py", "src/deep/x", "set.yaml", ".hidden"} {
		if i := strings.LastIndex(name, "/"); i > 0 {
			if err := os.MkdirAll(name[:i], 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		typed string // words, the last after the last blank
		want  string
	}{
		{"", "build diff shell cache"},
		{"b", "build"},
		{"x", ""},
		{"x ", ""},
		{"-", "--help"},
		{"cache ", "show prune"},
		{"cache show ", ""},
		{"build ", "src/"},
		{"build src/", "src/deep/"},
		{"build src ", ""},
		{"build --push ", "src/"},
		{"build --", "--file --output --push --format --jobs --help"},
		{"build --pu", "--push"},
		{"build --push --output x --", "--file --output --format --jobs --help"},
		{"build -f x --f", "--format"},
		{"build --format ", "text json"},
		{"build --format j", "json"},
		{"build --format=", "--format=text --format=json"},
		{"build --format=t", "--format=text"},
		{"build --format json ", "src/"},
		{"build --jobs ", ""},
		{"build --file s", "set.yaml src/"},
		{"build -f src/", "src/deep/ src/main.py"},
		{"build --file=se", "--file=set.yaml"},
		{"build --file .", ".hidden"},
		{"build --file ~/se", "~/set.yaml"},
		{"build --file nowhere/", ""},
		{"build --output ", "registry engine oci: oci-archive: docker-archive:"},
		{"build --output oci", "oci: oci-archive:"},
		{"build --output engine:", "engine:docker engine:podman engine:containerd"},
		{"build --output engine:p", "engine:podman"},
		{"build --output oci:s", "oci:src/"},
		{"build --output oci-archive:s", "oci-archive:set.yaml oci-archive:src/"},
		{"build --zzz --pu", "--push"},
		{"build -- --", ""},
		{"diff o", "oci: oci-archive:"},
		{"diff a o", "oci: oci-archive:"},
		{"diff a b ", ""},
		{"shell ", "bash zsh"},
		{"shell bash ", ""},
	}
	for _, tt := range tests {
		var got []string
		for _, c := range complete.Line(app(), strings.Split(tt.typed, " ")) {
			got = append(got, c.Word)
		}
		if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("Line(%q) (-want +got):\n%s", tt.typed, diff)
		}
	}
}

func TestLineSaysWhatWordsAre(t *testing.T) {
	got := complete.Line(app(), []string{"build", "--f"})
	want := []complete.Candidate{{Word: "--file", About: "read FILE"}, {Word: "--format", About: "print FORMAT"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Line (-want +got):\n%s", diff)
	}
}
