// SPDX-License-Identifier: Apache-2.0

package ignore_test

import (
	"fmt"
	"strings"

	"inlay/ignore"
)

func ExampleFiles() {
	rules, err := ignore.Parse(strings.NewReader("*\n!src\n**/*.pyc\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for e, err := range ignore.Files(context, rules) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(e.Type(), e.Path)
	}
	// Output:
	// d--------- src
	// d--------- src/__pycache__
	// ---------- src/main.py
	// d--------- src/pkg
	// d--------- src/pkg/empty
	// ---------- src/pkg/mod.py
	// ---------- src/pkg/mod_test.py
}

func ExampleParseFile() {
	_, err := ignore.ParseFile("app/.dockerignore", strings.NewReader("*.pyc\n!\n"))
	fmt.Println(err)
	// Output: app/.dockerignore:2: ignore rule "!": it keeps nothing
}
