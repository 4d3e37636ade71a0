// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"inlay/resolve/tree"
)

func ExampleSnapshot() {
	fsys := fstest.MapFS{ // in a build: tree.Open(".")
		"main.py":    {Data: []byte("print()\n"), Mode: 0o664},
		"bin/run.sh": {Data: []byte("#!/bin/sh\n"), Mode: 0o700},
	}
	files, err := tree.Snapshot(context.Background(), tree.Options{FS: fsys, Target: "/app", Jobs: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range files.Files {
		fmt.Printf("%v %2d %15.15s %s\n", f.Mode, f.Size, f.Digest, f.Path)
	}
	// Output:
	// drwxr-xr-x  0                 bin
	// -rwxr-xr-x 10 sha256:a8076d3d bin/run.sh
	// -rw-r--r--  8 sha256:d8594fa1 main.py
}
