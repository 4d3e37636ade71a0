// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"errors"
	"fmt"
	"strings"

	"inlay/resolve/settings"
)

func ExampleLoad() {
	file := `
settings:
  docker:
    parent_image: python:${PYTHON}-slim
    requirements: [numpy==2.3.1]
    user: 1000
`
	d, _, err := settings.Load("inlay.yaml", strings.NewReader(file), settings.Options{
		Lookup:    func(name string) (string, bool) { return "3.11", name == "PYTHON" },
		Overrides: []settings.Override{{Flag: "--env", Values: []string{"LOG_LEVEL=info"}}},
	})
	fmt.Println(d.ParentImage, d.Requirements, d.User, d.Environment, err)

	_, _, err = settings.Load("inlay.yaml", strings.NewReader("settings: {docker: {parent_imge: x}}"), settings.Options{})
	var e *settings.FieldError
	fmt.Println(err)
	fmt.Println(errors.As(err, &e), e.Hint())
	// Output:
	// python:3.11-slim [numpy==2.3.1] 1000 [LOG_LEVEL=info] <nil>
	// inlay.yaml:1: settings.docker.parent_imge: unknown field
	// true did you mean `parent_image`?
}
