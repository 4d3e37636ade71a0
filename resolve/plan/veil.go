// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
)

// veil marks what stands for a value that isn't kept.
const veil = "sha256:"

// Veiled returns p with hashes in place of the values of variables, labels and
// annotations: enough to tell whether they changed, and nothing of what they
// are. Since and Around take such a plan for the one that it was made of; no
// image can be made of it.
func (p Plan) Veiled() Plan {
	p.Stages = slices.Clone(p.Stages)
	for i := range p.Stages {
		p.Stages[i] = p.Stages[i].veiled()
	}
	return p
}

func (s Stage) veiled() Stage {
	c := &s.Config
	c.Env, c.Labels, c.Annotations = veiledVariables(c.Env), veiledMap(c.Labels), veiledMap(c.Annotations)
	s.Steps = slices.Clone(s.Steps)
	for i, step := range s.Steps {
		if step.Run != nil {
			run := *step.Run
			run.Env = veiledVariables(run.Env)
			s.Steps[i].Run = &run
		}
	}
	return s
}

// veiledVariables hides the values of KEY=VALUE.
func veiledVariables(env []string) []string {
	env = slices.Clone(env)
	for i, kv := range env {
		key, value, _ := strings.Cut(kv, "=")
		env[i] = key + "=" + veiledValue(value)
	}
	return env
}

// veiledMap hides the values of m, but for those that inlay itself writes about
// the parent.
func veiledMap(m map[string]string) map[string]string {
	m = maps.Clone(m)
	for k, v := range m {
		if !strings.HasPrefix(k, "org.opencontainers.image.base.") {
			m[k] = veiledValue(v)
		}
	}
	return m
}

// veiledValue hides a value that isn't hidden yet.
func veiledValue(value string) string {
	if hash, ok := strings.CutPrefix(value, veil); ok && len(hash) == hex.EncodedLen(sha256.Size) {
		return value
	}
	sum := sha256.Sum256([]byte(value))
	return veil + hex.EncodeToString(sum[:])
}
