// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"strings"

	"inlay/layers/pattern"
)

// A Cloud is a provider whose registries have a way of logging in of their own.
type Cloud string

// The clouds.
const (
	Amazon    Cloud = "Amazon"
	Google    Cloud = "Google"
	Microsoft Cloud = "Microsoft"
	GitHub    Cloud = "GitHub"
)

// reAmazon matches the private registries of ECR, in all partitions. (Public
// ones, public.ecr.aws, need no login.)
var reAmazon = pattern.New(`^\d{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.(com(\.cn)?|eu)|on\.(aws|amazonwebservices\.com\.cn))$`)

// CloudOf returns whose registry host (HOST or HOST:PORT) is, "" if it is
// nobody's of the clouds.
func CloudOf(host string) Cloud {
	under := func(domains ...string) bool {
		for _, d := range domains {
			if strings.HasSuffix(host, "."+d) {
				return true
			}
		}
		return false
	}
	switch {
	case strings.Contains(host, ".dkr") && reAmazon().MatchString(host): // compiled only for hosts like these
		return Amazon
	case host == "gcr.io", under("gcr.io", "pkg.dev"):
		return Google
	case under("azurecr.io", "azurecr.cn", "azurecr.us"):
		return Microsoft
	case host == "ghcr.io":
		return GitHub
	}
	return ""
}

// howToLogin says how to log in to host.
func howToLogin(host string) string {
	name, _, _ := strings.Cut(host, ".")
	switch CloudOf(host) {
	case Amazon:
		return "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or run: aws ecr get-login-password | docker login --username AWS --password-stdin " + host
	case Google:
		return "run: gcloud auth login, or set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run: gcloud auth configure-docker " + host
	case Microsoft:
		return "run: az login, or az acr login --name " + name
	case GitHub:
		return "set GITHUB_TOKEN to a token with the scope read:packages (or write:packages, to push), or run: docker login " + host
	}
	return "log in to " + host + " with docker login, podman login or crane auth login"
}
