// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"

	"github.com/urfave/cli/v2"

	"inlay/resolve/settings"
)

func schemaCommand() *cli.Command {
	return &cli.Command{
		Name:  "schema",
		Usage: "print the JSON schema of the settings file",
		Description: examples("Editors check and complete a file with it (JSON schema, draft 7). Those with the YAML language server\n"+
			"read the line `# yaml-language-server: $schema=inlay.schema.json` at the top of inlay.yaml.",
			"inlay schema >inlay.schema.json"),
		OnUsageError: usageProblem,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return &usageError{"schema takes no arguments", "write `inlay schema`"}
			}
			return printJSON(c.App.Writer, settings.Schema())
		},
	}
}

// printJSON writes a value for programs, and for people who look at it.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
