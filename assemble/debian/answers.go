// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"slices"

	"inlay/assemble/script"
)

// gitLFS is what "git lfs install" writes for all users.
const gitLFS = `[filter "lfs"]
	clean = git-lfs clean -- %f
	smudge = git-lfs smudge -- %f
	process = git-lfs filter-process
	required = true
`

// git knows "git lfs install --skip-repo --system", where git has no
// configuration yet.
func git(_ context.Context, c *script.Call) error {
	const config = "/etc/gitconfig"
	if !slices.Equal(c.Args[1:], []string{"lfs", "install", "--skip-repo", "--system"}) {
		return c.Usage()
	}
	old, err := text(c.Tree, config)
	if err != nil {
		return c.Fail(err)
	}
	if old != "" && old != gitLFS {
		return &script.UnsupportedError{Needs: "git lfs to change " + config}
	}
	if err := c.Tree.WriteFile(config, []byte(gitLFS), 0o644); err != nil {
		return c.Fail(err)
	}
	return nil
}

// perl knows the program that does nothing, by which scripts see whether perl
// works.
func perl(_ context.Context, c *script.Call) error {
	if !slices.Equal(c.Args[1:], []string{"-e", ""}) {
		return c.Usage()
	}
	return nil
}

// isChroot is ischroot(1): the tree is not that of a running system.
func isChroot(_ context.Context, c *script.Call) error {
	_, rest, err := c.Flags("tf", "default-true:t", "default-false:f")
	if err == nil && len(rest) > 0 {
		err = c.Usage()
	}
	return err
}
