// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A dockerConfig is what is read of a file of logins: names, no secrets.
type dockerConfig struct {
	Auths   map[string]struct{} `json:"auths"`
	Store   string              `json:"credsStore"`
	Helpers map[string]string   `json:"credHelpers"`
}

// Logins checks the file in which docker login or podman login keeps logins,
// and that the helper programs which it names are there.
func (m Machine) Logins() Check {
	return Check{"registry logins", func(context.Context) []Finding {
		for _, name := range m.loginFiles() {
			b, err := os.ReadFile(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return One(Problem, err.Error(), "change its permissions, or name another directory in DOCKER_CONFIG")
			}
			var c dockerConfig
			if err := json.Unmarshal(b, &c); err != nil {
				return One(Problem, fmt.Sprintf("%s is no JSON: %v", name, err), "repair or remove it")
			}
			return m.logins(name, c)
		}
		return One(Note, "there are none: registries are spoken to anonymously", "log in with docker login, podman login or crane auth login")
	}}
}

// loginFiles returns where logins may be; the first that exists counts.
func (m Machine) loginFiles() []string {
	docker := m.Getenv("DOCKER_CONFIG")
	if docker == "" {
		docker = filepath.Join(m.Home, ".docker")
	}
	files := []string{filepath.Join(docker, "config.json")}
	if f := m.Getenv("REGISTRY_AUTH_FILE"); f != "" {
		files = append(files, f)
	}
	if run := m.Getenv("XDG_RUNTIME_DIR"); run != "" {
		files = append(files, filepath.Join(run, "containers/auth.json"))
	}
	config := m.Getenv("XDG_CONFIG_HOME")
	if config == "" {
		config = filepath.Join(m.Home, ".config")
	}
	return append(files, filepath.Join(config, "containers/auth.json"))
}

// logins says what a file of logins holds. The helper that is asked for every
// registry must be there: without it nothing can be pulled from any.
func (m Machine) logins(name string, c dockerConfig) []Finding {
	found := One(OK, fmt.Sprintf("%s has logins for %s", name, listed(c.Auths)), "")
	if len(c.Auths) == 0 {
		found = One(OK, name+" has no logins of its own", "")
	}
	if c.Store != "" {
		found = append(found, m.helper(c.Store, "all registries", Problem))
	}
	for _, host := range slices.Sorted(maps.Keys(c.Helpers)) {
		found = append(found, m.helper(c.Helpers[host], host, Note))
	}
	return found
}

func (m Machine) helper(name, registry, missing string) Finding {
	program := "docker-credential-" + name
	path, err := m.LookPath(program)
	if err != nil {
		return Finding{
			Status: missing, Found: fmt.Sprintf("%s, which has the logins for %s, is not on the PATH", program, registry),
			Fix: "install it, or remove it from the file of logins",
		}
	}
	return Finding{Status: OK, Found: fmt.Sprintf("%s has the logins for %s", path, registry)}
}

// listed names registries.
func listed(auths map[string]struct{}) string {
	return strings.Join(slices.Sorted(maps.Keys(auths)), ", ")
}
