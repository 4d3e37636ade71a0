// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"inlay/assemble/record"
)

// buildFilters are the fields that a list can be filtered by.
var buildFilters = []string{
	"id", "created", "duration", "pipeline", "context", "is_local", "contains_code", "zenml_version", "python_version", "checksum", "stack_checksum",
}

// operations are what stands before a value, as ZenML has them.
var operations = []string{"equals:", "notequals:", "startswith:", "endswith:", "contains:", "oneof:", "gt:", "gte:", "lt:", "lte:"}

// A filter is FIELD=VALUE or FIELD=OPERATION:VALUE.
type filter struct {
	field, operation, want string
}

// filtered returns the builds that the filters let through.
func filtered(all []record.Build, filters []string) ([]record.Build, error) {
	for _, text := range filters {
		f, err := parseFilter(text)
		if err != nil {
			return nil, err
		}
		all = slices.DeleteFunc(all, func(b record.Build) bool { return !f.lets(b) })
	}
	return all, nil
}

func parseFilter(text string) (filter, error) {
	field, want, ok := strings.Cut(text, "=")
	if !ok || !slices.Contains(buildFilters, field) {
		fix := nearest(field, buildFilters, "--filter ")
		if fix == "" {
			fix = "write FIELD=VALUE with one of " + strings.Join(buildFilters, ", ")
		}
		return filter{}, &usageError{fmt.Sprintf("--filter %s names no field of builds and a value", text), fix}
	}
	f := filter{field, "equals:", want}
	for _, o := range operations {
		if rest, ok := strings.CutPrefix(want, o); ok {
			f.operation, f.want = o, rest
		}
	}
	return f, f.check(text)
}

// check refuses to compare with what is no number and no time.
func (f filter) check(text string) error {
	compares := slices.Contains([]string{"gt:", "gte:", "lt:", "lte:"}, f.operation)
	switch {
	case !compares:
		return nil
	case f.field == "duration":
		if _, err := strconv.ParseFloat(f.want, 64); err != nil {
			return &usageError{fmt.Sprintf("--filter %s compares with no number", text), "write seconds, as in --filter duration=" + f.operation + "60"}
		}
	case f.field == "created":
		if _, err := parseTime(f.want); err != nil {
			return &usageError{fmt.Sprintf("--filter %s compares with no time", text), "write a date, as in --filter created=" + f.operation + "2026-01-31, or `2026-01-31 23:59:59`, in UTC"}
		}
	default:
		return &usageError{fmt.Sprintf("--filter %s: %s has no order", text, f.field), "use " + f.operation + " with created or duration"}
	}
	return nil
}

// parseTime reads a time as `builds list` prints it, or a date.
func parseTime(text string) (t time.Time, err error) {
	for _, layout := range []string{time.DateTime, time.DateOnly, time.RFC3339} {
		if t, err = time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return t, err
}

// lets reports whether a build passes.
func (f filter) lets(b record.Build) bool {
	got := filterValue(b, f.field)
	switch f.operation {
	case "notequals:":
		return got != f.want
	case "startswith:":
		return strings.HasPrefix(got, f.want)
	case "endswith:":
		return strings.HasSuffix(got, f.want)
	case "contains:":
		return strings.Contains(got, f.want)
	case "oneof:":
		return slices.Contains(strings.Split(f.want, ","), got)
	case "gt:":
		return f.compare(b) > 0
	case "gte:":
		return f.compare(b) >= 0
	case "lt:":
		return f.compare(b) < 0
	case "lte:":
		return f.compare(b) <= 0
	}
	return got == f.want
}

// compare compares a build's time or duration with what check has let through.
func (f filter) compare(b record.Build) int {
	if f.field == "created" {
		t, _ := parseTime(f.want)
		return b.Created.Compare(t)
	}
	seconds, _ := strconv.ParseFloat(f.want, 64)
	return cmp.Compare(b.Duration, seconds)
}

func filterValue(b record.Build, field string) string {
	return map[string]string{
		"id": b.ID, "created": b.Created.Format(time.DateTime), "duration": strconv.FormatFloat(b.Duration, 'f', -1, 64),
		"pipeline": b.Pipeline, "context": b.Context, "is_local": strconv.FormatBool(b.IsLocal), "contains_code": strconv.FormatBool(b.ContainsCode),
		"zenml_version": b.ZenMLVersion, "python_version": b.PythonVersion, "checksum": b.Checksum, "stack_checksum": b.StackChecksum,
	}[field]
}
