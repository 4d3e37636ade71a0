// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"slices"
	"strings"

	"inlay/resolve/index"
	"inlay/resolve/settings"
)

// environment returns the variables of the image, and how many of them commands
// of the build see. Those that hold credentials for a package index have done
// their duty by now, and whoever has the image could read them: they are left
// out, unless the settings insist.
func environment(req Request) (env []string, early int) {
	s := req.Settings
	for _, part := range []struct {
		field string
		vars  []string
		use   string
	}{
		{"environment", s.Environment, "were used to find packages and "},
		{"runtime_environment", s.RuntimeEnvironment, ""},
	} {
		for _, kv := range part.vars {
			name, value, _ := strings.Cut(kv, "=")
			if s.KeepSecrets || !index.IsSecret(name, value) {
				env = append(env, kv)
				continue
			}
			left := s.FieldError(part.field+"."+name, "its credentials "+part.use+"are not put into the image; to keep the variable, add `keep_secrets_in_env: true`", "")
			req.note("warning: %v", left)
		}
		if part.field == "environment" {
			env = append(env, forZenML(s)...)
			early = len(env)
		}
	}
	return env, early
}

// forZenML returns the variables that ZenML gives its images, where the settings
// say that ZenML runs them, but for those that the settings give.
func forZenML(s *settings.Docker) (env []string) {
	if s.ZenML == "" && s.Stack == "" {
		return nil
	}
	for _, kv := range []string{"ZENML_ENABLE_REPO_INIT_WARNINGS=False", "ZENML_CONFIG_PATH=" + target + "/.zenconfig"} {
		name, _, _ := strings.Cut(kv, "=")
		if !slices.ContainsFunc(s.Environment, func(have string) bool { return strings.HasPrefix(have, name+"=") }) {
			env = append(env, kv)
		}
	}
	return env
}
