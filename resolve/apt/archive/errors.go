// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"time"
)

// A SignatureError reports a release file that isn't signed by a key of its
// source.
type SignatureError struct {
	Archive string // and suite
	Where   string // file and line of the source
	Problem string
}

func (e *SignatureError) Error() string {
	return fmt.Sprintf("the release file of %s (%s) can't be trusted: %s", e.Archive, e.Where, e.Problem)
}

// Hint says what to do about the key.
func (e *SignatureError) Hint() string {
	return "if the archive is the right one, give the source its key with `Signed-By`, or with --keyring FILE for a parent `apt:SUITE`; otherwise use another mirror with --apt-mirror URL"
}

// A StaleError reports a release file that is too old or from the future.
type StaleError struct {
	Archive string // and suite
	Problem string
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("the release file of %s %s", e.Archive, e.Problem)
}

// Hint says how to go on.
func (e *StaleError) Hint() string {
	return "use a mirror that is up to date with --apt-mirror URL, check this machine's clock, or, for an archive that is frozen on purpose, set `Check-Valid-Until: no` in its source"
}

// A RollbackError reports a release file that is older than one seen before:
// somebody may want to hide newer packages.
type RollbackError struct {
	Archive string // and suite
	Date    time.Time
	Seen    time.Time // the newest date
}

func (e *RollbackError) Error() string {
	return fmt.Sprintf("the release file of %s is of %s, but one of %s was seen before",
		e.Archive, e.Date.Format(time.RFC1123), e.Seen.Format(time.RFC1123))
}

// Hint says how to go on.
func (e *RollbackError) Hint() string {
	return "wait until the mirror is up to date, or use another with --apt-mirror URL"
}

// A ReleaseError reports an archive whose files aren't what its source says.
type ReleaseError struct {
	Archive string // and suite
	Where   string // file and line of the source
	Problem string // a sentence without its subject
}

func (e *ReleaseError) Error() string {
	return fmt.Sprintf("the archive %s (%s) %s", e.Archive, e.Where, e.Problem)
}

// Hint says where to look.
func (e *ReleaseError) Hint() string {
	return "correct the source, or use another mirror with --apt-mirror URL"
}

// An OfflineError reports an archive of which nothing is known yet.
type OfflineError struct {
	Archive string // and suite
}

func (e *OfflineError) Error() string {
	return fmt.Sprintf("there is no network, and nothing of the archive %s is in the cache", e.Archive)
}

// Hint says how to fill the cache.
func (e *OfflineError) Hint() string { return "run the same command once without --offline" }
