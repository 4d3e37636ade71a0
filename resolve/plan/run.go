// SPDX-License-Identifier: Apache-2.0

package plan

import "slices"

// RunVersion is part of the key of a Run step. It grows when the same command is
// run in another way.
const RunVersion = 1

// Run runs a command over all that is below it, and keeps what that changes. What
// a command makes of the same files may differ from time to time: the layer that
// was made first is that of the key.
type Run struct {
	// Parent is the Tree of the parent. A command may read any file of it, and of
	// the layers of the steps before this one.
	Parent  string   `json:"parent"`
	Command []string `json:"command"`
	Dir     string   `json:"dir"`           // absolute
	Env     []string `json:"env,omitempty"` // KEY=VALUE
	Created int64    `json:"created"`       // no file that it makes is later, in seconds since 1970
	// Exact says that the command is Docker's RUN: its environment is that of the
	// image before anything else's, and nothing but Caches is kept out of the layer.
	Exact bool   `json:"exact,omitempty"`
	User  string `json:"user,omitempty"` // who runs it, by the image's own accounts; "" is root
	// Args are more variables, by name: no plan holds their values, which those
	// who make it know. ArgsDigest is of the values that are no secrets.
	Args       []string `json:"args,omitempty"`
	ArgsDigest string   `json:"argsDigest,omitempty"`
	Caches     []string `json:"caches,omitempty"` // absolute: directories that are empty, and in no layer
	// Secrets are files in /run/secrets that it can read, by name. Those of a command
	// that isn't Exact are all that there are.
	Secrets []string `json:"secrets,omitempty"`
	// Hosts may be reached beside what every command may, if they are public.
	Hosts []string `json:"hosts,omitempty"`
	// Own are the directories in which everything new belongs to somebody else
	// than root.
	Own []Owner `json:"own,omitempty"`
	// Configure says that the command finishes what the Apt step before has left: if
	// that left nothing, the command isn't run. What makes an image another every
	// time and is of no use in it, such as logs, is not kept.
	Configure bool `json:"configure,omitempty"`
	// Setting names what asks for the command, for people.
	Setting string `json:"setting"`
}

// An Owner is whom the new files in a directory belong to.
type Owner struct {
	Path string `json:"path"` // absolute
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
}

// over returns the key of s, which hashes to own by itself, over those before it:
// that of a Run step covers their contents, however they are compressed.
func (s Step) over(before []Step, own Key) Key {
	if s.Run == nil {
		return own
	}
	keys := make([]Key, len(before))
	for i, b := range before {
		b.Compression = ""
		keys[i] = b.inputs().hash()
	}
	return hash(RunVersion, keys, own)
}

// since returns nothing where it is what lies below that changed.
func (r *Run) since(old Stage) []string {
	for _, o := range old.Steps {
		if o.Run == nil || o.Run.Configure != r.Configure || o.Run.Setting != r.Setting && !slices.Equal(o.Run.Command, r.Command) {
			continue
		}
		var out []string
		add := func(what string, same bool) {
			if !same {
				out = append(out, what)
			}
		}
		add("the command changed", slices.Equal(o.Run.Command, r.Command) && o.Run.Dir == r.Dir)
		add("its environment changed", slices.Equal(o.Run.Env, r.Env))
		add("its build arguments changed", slices.Equal(o.Run.Args, r.Args) && o.Run.ArgsDigest == r.ArgsDigest)
		add("its user changed", o.Run.User == r.User)
		add("the owner of files changed", slices.Equal(o.Run.Own, r.Own))
		add("the time of the files changed (SOURCE_DATE_EPOCH)", o.Run.Created == r.Created)
		add("the parent changed", o.Run.Parent == r.Parent)
		return out
	}
	return []string{"new"}
}
