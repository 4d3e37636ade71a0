// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import "testing"

func inContainers(t *testing.T, _ env, _ *privateIndex, _ []string, _ func(string) string) {
	t.Skip("containers are Linux's")
}

func published(t *testing.T, _ env, _ string) { t.Skip("networks of one's own are Linux's") }
