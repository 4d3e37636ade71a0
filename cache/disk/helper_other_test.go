// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package disk_test

import "syscall"

func mounting() *syscall.SysProcAttr { return nil }
