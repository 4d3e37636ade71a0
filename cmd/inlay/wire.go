// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// cacheDir returns the directory of the cache.
func cacheDir(c *cli.Context) (string, error) {
	if _, err := os.Getwd(); err != nil {
		return "", &usageError{fmt.Sprintf("the working directory can't be found: %v", err), "change to a directory that is there and that you may read"}
	}
	dir := c.String("cache-dir")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err == nil && !filepath.IsAbs(user) {
			err = errors.New("path in $HOME is relative")
		}
		if err != nil {
			return "", &usageError{fmt.Sprintf("no directory for the cache: %v", err), "give --cache-dir DIR, or set INLAY_CACHE_DIR"}
		}
		dir = filepath.Join(user, "inlay")
	}
	if !utf8.ValidString(dir) {
		return "", &usageError{fmt.Sprintf("the cache can't be in %q: uv and pip have no names that are not UTF-8", dir), "name another directory with --cache-dir DIR"}
	}
	return filepath.Abs(dir)
}

// created returns the time of the image in seconds since 1970: that of
// SOURCE_DATE_EPOCH (reproducible-builds.org), or 0.
func created() (int64, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > maxCreated {
		return 0, &usageError{fmt.Sprintf("SOURCE_DATE_EPOCH is %q, want whole seconds since 1970", text), "unset it, or use $(git log -1 --format=%ct)"}
	}
	return n, nil
}

// maxCreated is the last second that a tar's and a JSON's time can both hold.
const maxCreated = 253402300799 // 9999-12-31 23:59:59 UTC
