// SPDX-License-Identifier: Apache-2.0

package wheel

import (
	"maps"
	"strconv"
	"strings"

	"inlay/layers/pattern"
)

// A launcher is a script that calls an object of a module.
type launcher struct {
	module, object string
}

// launchers returns the scripts that entry_points.txt asks for, by name. A
// graphical one takes the place of a console one of its name, as with uv; on
// Linux they are the same otherwise.
func launchers(text []byte, version string) (map[string]launcher, error) {
	sections, err := parseINI(string(text))
	if err != nil {
		return nil, err
	}
	console, err := sections.launchers("console_scripts")
	if err != nil {
		return nil, err
	}
	versionedPip(console, version)
	graphical, err := sections.launchers("gui_scripts")
	if err != nil {
		return nil, err
	}
	maps.Copy(console, graphical)
	return console, nil
}

// versionedPip gives pip the pip3.11 that its users expect. Its wheel is the
// same for all Pythons, so it can't say it, and old ones say it wrongly: pip
// and uv make this one up.
func versionedPip(scripts map[string]launcher, version string) {
	maps.DeleteFunc(scripts, func(name string, _ launcher) bool {
		minor, ok := strings.CutPrefix(name, "pip3.")
		return ok && isMinor(minor)
	})
	if l, ok := scripts["pip3"]; ok {
		scripts["pip"+version] = l
	}
}

// isMinor says whether s is the minor version of a Python.
func isMinor(s string) bool {
	_, err := strconv.ParseUint(s, 10, 8)
	return err == nil
}

// An ini holds the options of a file's sections.
type ini map[string]map[string]string

var reference = pattern.New(`^([\pL\pM\pN\p{Pc}.-]+)\s*:\s*([\pL\pM\pN\p{Pc}.-]+)(?:\s*\[[^,]+(?:,[^,]+)*,?\s*\])?$`)

// launchers reads a section of scripts. Extras, in brackets, are ignored.
func (f ini) launchers(section string) (map[string]launcher, error) {
	out := make(map[string]launcher)
	if f[section] == nil {
		return out, nil
	}
	options := maps.Clone(f["DEFAULT"])
	if options == nil {
		options = make(map[string]string)
	}
	maps.Copy(options, f[section])
	for name, value := range options {
		if name == "." || name == ".." || strings.Contains(name, "/") || strings.ContainsFunc(name, unprintable) {
			return nil, bad("", "script %q in %s can't be a file's name", name, section)
		}
		parts := reference().FindStringSubmatch(value)
		if parts == nil {
			return nil, bad("", "script %s = %q in %s is not MODULE:OBJECT", name, value, section)
		}
		out[name] = launcher{module: parts[1], object: parts[2]}
	}
	return out, nil
}

// parseINI reads text with the grammar of Python's configparser, where "=" is
// the only delimiter, case counts, and nothing may stand twice.
func parseINI(text string) (ini, error) {
	p := iniParser{file: make(ini)}
	number := 0
	for line := range strings.Lines(text) {
		number++
		if problem := p.line(line); problem != "" {
			return nil, bad("", "line %d of entry_points.txt %s", number, problem)
		}
	}
	return p.file, nil
}

// An iniParser is where a file is being read.
type iniParser struct {
	file    ini
	options map[string]string // of this section
	option  string            // the last one, which a deeper line goes on
	level   int               // its indentation
}

// line reads a line and says what is wrong with it.
func (p *iniParser) line(line string) (problem string) {
	value := strings.TrimSpace(line)
	if value == "" || value[0] == '#' || value[0] == ';' {
		return ""
	}
	indent := len(line) - len(strings.TrimLeft(line, " \t"))
	if p.option != "" && indent > p.level {
		if old := p.options[p.option]; !strings.HasSuffix(old, "\n") {
			p.options[p.option] = old + "\n" // no script's value has several lines: what they say doesn't matter
		}
		return ""
	}
	p.level = indent
	if end := strings.LastIndexByte(value, ']'); value[0] == '[' && end > 1 {
		return p.header(value[1:end])
	}
	key, value, ok := strings.Cut(value, "=")
	if p.option = strings.TrimSpace(key); !ok || p.option == "" || p.options == nil {
		return "is no option of a section"
	}
	if _, ok := p.options[p.option]; ok {
		return "repeats an option"
	}
	p.options[p.option] = strings.TrimSpace(value)
	return ""
}

func (p *iniParser) header(section string) (problem string) {
	if p.file[section] != nil {
		return "repeats a section"
	}
	p.options, p.option = make(map[string]string), ""
	p.file[section] = p.options
	return ""
}
