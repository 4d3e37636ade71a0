// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import "testing"

func inContainers(t *testing.T, _ env, _ *privateIndex, _ []string, _ func(string) string) {
	t.Skip("containers are Linux's")
}
