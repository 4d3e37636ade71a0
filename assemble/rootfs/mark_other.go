// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package rootfs

import (
	"errors"
	"os"
)

// errLinux says why nothing is unpacked here: commands of images can't run.
var errLinux = errors.New("only Linux runs the commands of an image")

func whiteout(*os.File, string) (bool, error) { return false, errLinux }

func setOpaque(*os.File) error { return errLinux }

func setCapability(*os.File, string) error { return errLinux }
