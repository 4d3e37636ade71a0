// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"inlay/layers/pattern"
)

// optionsPath is the mapping of what ZenML hands to docker build.
const optionsPath = dockerPath + ".build_config.build_options"

// spellings are docker-py's names of options, each with ZenML's.
var spellings = map[string]string{
	"nocache": "no_cache", "buildargs": "build_args", "shmsize": "shm_size", "cachefrom": "cache_from",
}

// optionFields are the options of docker build that mean something here.
func optionFields() []field {
	at := func(name string) string { return strings.TrimPrefix(optionsPath, dockerPath+".") + "." + name }
	all := []field{{Field{
		Name: at("pull"), Type: "boolean", Default: "false", Example: "false",
		Doc: "Whether the name of the parent is looked up anew: it always is, unless the lock file has its digest.",
	}, "", func(l *loader, s setting) (err error) { l.docker.Pull, err = s.boolean(); return err }}}
	for _, name := range []string{"no_cache", "nocache"} {
		all = append(all, field{
			Field{Name: at(name), Type: "boolean", Default: "false", Example: "false", Doc: "Make every layer anew."},
			"",
			once(func(l *loader, s setting) (err error) { l.docker.NoCache, err = s.boolean(); return err }),
		})
	}
	for _, name := range []string{"build_args", "buildargs"} {
		all = append(all, field{
			Field{Name: at(name), Type: "mapping of strings", Example: "{PIP_RETRIES: \"9\"}", Doc: "Variables of the installer alone: for its own settings, and in requirements files. No image holds them."},
			"", once(variables(func(d *Docker) *[]string { return &d.BuildArgs })),
		})
	}
	return all
}

// once refuses an option that is given in both spellings.
func once(read func(*loader, setting) error) func(*loader, setting) error {
	return func(l *loader, s setting) error {
		section, name := cutLast(s.field.Name)
		other := other(name)
		if _, twice := l.docker.at[join(section, other)]; twice {
			return s.fault(s.path, fmt.Sprintf("given as %s too", other), fmt.Sprintf("remove `%s` or `%s`", name, other))
		}
		return read(l, s)
	}
}

// other returns the other spelling of an option, "" if there is none.
func other(name string) string {
	for docker, zenml := range spellings {
		if name == docker {
			return zenml
		}
		if name == zenml {
			return docker
		}
	}
	return ""
}

// A Healthcheck is how an engine finds out whether a container works.
type Healthcheck struct {
	Test          []string // as in Docker's configuration: "CMD", "CMD-SHELL" or "NONE", and words
	Interval      time.Duration
	Timeout       time.Duration
	StartPeriod   time.Duration
	StartInterval time.Duration
	Retries       int
}

var (
	isPort    = matches(pattern.New(`^[0-9]{1,5}(/(tcp|udp|sctp))?$`), "is not a port: a number, perhaps with /tcp, /udp or /sctp")
	isSignal  = matches(pattern.New(`^(SIG[A-Z0-9+-]+|[0-9]{1,3})$`), "is not a signal: a name such as SIGTERM, or a number")
	isVersion = matches(pattern.New(`^[0-9]+(\.[0-9]+)+[A-Za-z0-9.]*$`), "is not a version of ZenML")
)

// running are the fields that say how engines run the image.
func running() []field {
	return []field{
		{Field{
			Name: "exposed_ports", Type: "list of strings", Default: "[]", Example: "[8080, 53/udp]",
			Doc: "Ports that containers listen on, beside the parent's.",
		}, "", ports},
		{Field{
			Name: "volumes", Type: "list of strings", Default: "[]", Example: "[/data]",
			Doc: "Directories that are volumes, beside the parent's.",
		}, "", volumes},
		{
			Field{
				Name: "stop_signal", Type: "string", Example: "SIGINT",
				Doc: "The signal that stops a container.",
			},
			"",
			text(func(l *loader) *string { return &l.docker.StopSignal }, isSignal),
		},
		{Field{
			Name: "healthcheck", Type: "health check", Default: "{}", Example: "{test: [curl, -f, \"localhost:8080\"], interval: 30s, retries: 3}",
			Doc: "How an engine checks a container: `test` (words, a line for the shell, or `NONE`), `interval`, `timeout`, `start_period`, `start_interval` and `retries`.",
		}, "", healthcheck},
	}
}

func ports(l *loader, s setting) error {
	if s.kind != list {
		return s.wrongType()
	}
	all, err := s.checkedList(l, isPort)
	for i, p := range all {
		number, kind, _ := strings.Cut(p, "/")
		n, _ := strconv.Atoi(number) // it is a number
		if n < 1 || n > 65535 {
			return s.item(i).errorf("%s is not a port: a number from 1 to 65535", s.item(i).shown())
		}
		all[i] = fmt.Sprintf("%d/%s", n, cmp.Or(kind, "tcp"))
	}
	l.docker.Ports = sortedOnce(all)
	return err
}

func volumes(l *loader, s setting) error {
	if s.kind != list {
		return s.wrongType()
	}
	all, err := s.checkedList(l, isAbsolute)
	for i, v := range all {
		all[i] = path.Clean(v)
	}
	l.docker.Volumes = sortedOnce(all)
	return err
}

// sortedOnce sorts all, each once; nil stays nil.
func sortedOnce(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

// healthcheck reads the fields of a check.
func healthcheck(l *loader, s setting) error {
	if s.kind != mapping {
		return s.wrongType()
	}
	h := &Healthcheck{}
	durations := map[string]*time.Duration{
		"interval": &h.Interval, "timeout": &h.Timeout, "start_period": &h.StartPeriod, "start_interval": &h.StartInterval,
	}
	for i, key := range s.keys {
		at, err := s.item(i), error(nil)
		switch d := durations[key.text]; {
		case at.kind == null:
		case d != nil:
			*d, err = at.duration()
		case key.text == "test":
			h.Test, err = at.test()
		case key.text == "retries":
			h.Retries, err = at.retries()
		default:
			err = s.unknownKey(key, []string{"test", "interval", "timeout", "start_period", "start_interval", "retries"})
		}
		if err != nil {
			return err
		}
	}
	if len(s.keys) > 0 {
		l.docker.Healthcheck = h
	}
	return nil
}

// test reads the command of a check as Docker has it.
func (s setting) test() ([]string, error) {
	if s.kind != list {
		line, err := s.scalar("command")
		switch {
		case err != nil:
			return nil, err
		case line == "NONE":
			return []string{"NONE"}, nil
		default:
			return []string{"CMD-SHELL", line}, nil
		}
	}
	words, err := s.strings()
	if len(words) > 0 && slices.Contains([]string{"NONE", "CMD", "CMD-SHELL"}, words[0]) {
		return words, err
	}
	return append([]string{"CMD"}, words...), err
}

// duration reads a time as Docker writes it: 30s, 1m30s.
func (s setting) duration() (time.Duration, error) {
	t, err := s.scalar("duration")
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(t)
	if err != nil || d != 0 && d < time.Millisecond {
		return 0, s.errorf("%s is not a duration such as 30s: from 1ms, or 0", s.shown())
	}
	return d, nil
}

func (s setting) retries() (int, error) {
	t, err := s.scalar("number")
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(t)
	if err != nil || n < 0 {
		return 0, s.errorf("%s is not a number of tries", s.shown())
	}
	return n, nil
}
