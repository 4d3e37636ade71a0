// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"inlay/cmd/inlay/complete"
)

// TestReference keeps docs/reference.md what the program itself says.
func TestReference(t *testing.T) {
	compareDoc(t, "docs/reference.md", reference(newApp(io.Discard, io.Discard)))
}

// compareDoc compares a generated document with the one that is committed.
func compareDoc(t *testing.T, name, want string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not what the program says; run `just golden` (-want +got):\n%s", name, diff)
	}
}

// leaves calls visit with every command that does something, by its full name.
func leaves(name string, commands []*cli.Command, visit func(string, *cli.Command)) {
	for _, c := range commands {
		full := name + " " + c.Name
		if len(c.Subcommands) > 0 {
			leaves(full, c.Subcommands, visit)
		} else if !c.Hidden {
			visit(full, c)
		}
	}
}

const referenceHead = `# Commands and flags

Written by ` + "`just golden`" + ` from the program itself; ` + "`inlay COMMAND --help`" + ` says the same. Flags may stand before or after
arguments, as ` + "`--flag VALUE` or `--flag=VALUE`" + `. Standard output holds the result and nothing else; all that people
read goes to standard error.

| status | means |
|---|---|
| 0 | done |
| 1 | you can fix it; the line ` + "`hint:`" + ` says how. Of ` + "`diff`" + `: the images differ; of ` + "`doctor`" + `: something is a problem |
| 2 | the network, a registry or a mistake of inlay's; of ` + "`diff`" + `, any error |
| 130 | interrupted; nothing is left half made |

| variable | does |
|---|---|
`

// variables are what the program reads of the environment, beside what stands
// for a flag.
var variables = [][2]string{
	{"SOURCE_DATE_EPOCH", "seconds since 1970: the date of the image and of its source files; 1970 without it"},
	{"NO_COLOR, CLICOLOR_FORCE, CLICOLOR", "set, no colours are used; set, they are used even where there is no terminal; `0`, they are not; the first that says anything wins"},
	{"TERM", "`dumb` is a terminal without colours, on which nothing moves"},
	{"DOCKER_CONFIG, REGISTRY_AUTH_FILE", "where logins to registries are, in place of `~/.docker` and podman's file"},
	{"HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "proxies for registries and indexes"},
	{"UV_DEFAULT_INDEX, UV_INDEX, UV_INDEX_URL, UV_EXTRA_INDEX_URL, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL", "package indexes, as uv and pip read them: [indexes](indexes.md)"},
	{"UV_INDEX_NAME_USERNAME, UV_INDEX_NAME_PASSWORD", "credentials for the index that is called `NAME`"},
	{"AWS_*, AZURE_*, GOOGLE_APPLICATION_CREDENTIALS, STORAGE_EMULATOR_HOST", "logins to clouds, for registries and [artifact stores](code.md)"},
	{"ZENML_CODE_REPOSITORY_IGNORE_UNTRACKED_FILES", "`true`: files that git doesn't know are no local changes ([code](code.md))"},
	{"NETRC", "a file of credentials, in place of `~/.netrc`"},
	{"UV_KEYRING_PROVIDER, PIP_KEYRING_PROVIDER", "`subprocess` lets the program `keyring` be asked for users that the URLs of indexes name"},
	{"SSL_CERT_FILE, SSL_CERT_DIR", "certificates of authorities, in place of the system's"},
}

// reference describes every command and flag.
func reference(app *cli.App) string {
	var b strings.Builder
	b.WriteString(referenceHead)
	leaves("inlay", app.Commands, func(_ string, c *cli.Command) {
		for _, f := range c.Flags {
			for _, name := range documented(f).GetEnvVars() {
				row := fmt.Sprintf("| `%s` | `--%s` |\n", name, f.Names()[0])
				if !strings.Contains(b.String(), row) {
					b.WriteString(row)
				}
			}
		}
	})
	for _, v := range variables {
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.ReplaceAll(v[0], ", ", "`, `"), v[1])
	}
	leaves("inlay", app.Commands, func(name string, c *cli.Command) { entry(&b, name, c) })
	return b.String()
}

func documented(f cli.Flag) cli.DocGenerationFlag { return f.(cli.DocGenerationFlag) }

func entry(b *strings.Builder, name string, c *cli.Command) {
	text, lines, _ := strings.Cut(c.Description, "\n\nExamples:\n")
	usage := name
	if len(c.Flags) > 0 {
		usage += " [FLAGS]"
	}
	if c.ArgsUsage != "" {
		usage += " " + c.ArgsUsage
	}
	fmt.Fprintf(b, "\n## %s\n\n    %s\n\n%s. %s\n\n```sh\n%s\n```\n", name, usage, sentence(c.Usage),
		strings.ReplaceAll(text, "\n", " "), strings.ReplaceAll(strings.TrimPrefix(lines, "  "), "\n  ", "\n"))
	if len(c.Flags) == 0 {
		return
	}
	b.WriteString("\n| flag | default | |\n|---|---|---|\n")
	for _, f := range c.Flags {
		fmt.Fprintf(b, "| %s | %s | %s |\n", flagCell(f), defaultCell(f), usageCell(f))
	}
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// flagCell names a flag, its short form and what it takes.
func flagCell(f cli.Flag) string {
	var names []string
	for _, n := range f.Names() {
		dashes := "--"
		if len(n) == 1 {
			dashes = "-"
		}
		names = append(names, dashes+n)
	}
	value := ""
	if d := documented(f); d.TakesValue() {
		value = " " + complete.Placeholder(d.GetUsage())
	}
	return "`" + strings.Join(names, "`, `") + value + "`"
}

func usageCell(f cli.Flag) string {
	return strings.NewReplacer("`", "", "|", `\|`).Replace(documented(f).GetUsage())
}

func defaultCell(f cli.Flag) string {
	if _, isBool := f.(*cli.BoolFlag); isBool {
		return ""
	}
	return strings.Trim(documented(f).GetDefaultText(), `"`)
}

// Every command has an example, of which every flag exists.
func TestExamples(t *testing.T) {
	app := newApp(io.Discard, io.Discard)
	n := 0
	leaves("inlay", app.Commands, func(name string, c *cli.Command) {
		_, lines, ok := strings.Cut(c.Description, "\n\nExamples:\n")
		if !ok {
			t.Errorf("%s has no example", name)
		}
		for line := range strings.Lines(lines) {
			_, words, ok := strings.Cut(strings.TrimSuffix(line, "\n"), name)
			if !ok {
				t.Errorf("the example %q of %s doesn't call it", line, name)
				continue
			}
			words, _, _ = strings.Cut(words, " >") // what the shell does
			args := strings.Fields(name + strings.TrimSuffix(words, ")"))
			if _, err := arrange(app, args); err != nil {
				t.Errorf("the example %q of %s: %v", line, name, err)
			}
			n++
		}
	})
	if n == 0 {
		t.Error("no command has an example")
	}
}
