// SPDX-License-Identifier: Apache-2.0

// Package code decides how the source of a pipeline gets into its containers:
// they download it from a code repository or from an artifact store, it is in
// their image, or somebody else brings it. To find that out it asks git and
// changes nothing, neither in the checkout nor elsewhere.
package code

import (
	"fmt"

	"inlay/layers/hint"
	"inlay/resolve/settings"
)

// A Way is how the source gets into containers.
type Way int

// The ways.
const (
	Include    Way = iota // it is in the image
	Repository            // containers download a commit
	Store                 // it is uploaded, and containers download that
	Nothing               // what runs the image brings it
)

// Offers say from where containers could download the source. An error says why
// they can't, and is an *UnusableError where the user can do something about it.
type Offers struct {
	Repository error
	Store      error
}

// An UnusableError says why the source can't be downloaded from somewhere.
type UnusableError struct {
	Problem string
	Fix     string
}

func (e *UnusableError) Error() string { return e.Problem }

// Hint says what to do about it.
func (e *UnusableError) Hint() string { return e.Fix }

// Decide returns how the source gets into the containers of an image: a row of
// spec/zenml.md section 5.1. Settings that allow nothing but a download from
// a code repository are a *settings.FieldError where there is none.
func Decide(s *settings.Docker, o Offers) (Way, error) {
	switch {
	case s.InstallCommand != "":
		return Include, nil // it is installed there
	case !s.NoRepository && o.Repository == nil:
		return Repository, nil
	case !s.NoStore && o.Store == nil:
		return Store, nil
	case !s.NoSource:
		return Include, nil
	case s.NoRepository || !s.NoStore:
		return Nothing, nil
	}
	return Nothing, s.FieldError("allow_including_files_in_images",
		fmt.Sprintf("the source can come from a code repository only, and %v", o.Repository),
		fix(o.Repository)+", or set allow_including_files_in_images or allow_download_from_artifact_store to true")
}

// Asks reports whether it matters for an image whether the source can be
// downloaded from a code repository.
func Asks(s *settings.Docker) bool {
	return !s.SkipBuild && !s.NoRepository && s.InstallCommand == ""
}

// fix is what an error says one can do.
func fix(err error) string {
	if text, ok := hint.Of(err); ok {
		return text
	}
	return "leave it out"
}
