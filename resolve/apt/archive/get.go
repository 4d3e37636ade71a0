// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"inlay/cache/fetch"
	"inlay/resolve/apt/setup"
)

// release gets the release file of a source and checks all that can be checked
// of it.
func (c *Client) release(ctx context.Context, s *setup.Source, r Request) (*Release, error) {
	if s.Trusted {
		return nil, &SignatureError{name(s), s.Where, "the source says that signatures don't count, but here they do"}
	}
	trust, err := trustOf(s, r.Keyrings)
	if err != nil {
		return nil, &SignatureError{name(s), s.Where, err.Error()}
	}
	files, err := c.readRelease(ctx, s)
	if err != nil {
		return nil, err
	}
	rel, err := files.check(trust, r.Now)
	if err != nil {
		return nil, &SignatureError{name(s), s.Where, err.Error()}
	}
	if !s.Flat() && !rel.names(s.Suite) {
		return nil, &ReleaseError{name(s), s.Where, fmt.Sprintf("holds the suite %q with the code name %q", rel.Suite, rel.Codename)}
	}
	if err := checkDates(rel, s, r); err != nil {
		return nil, err
	}
	return rel, c.remember(s, rel, files, r.Older)
}

// A signed release file is one of two: signed inside, or with the signature in
// a second file.
type signed struct {
	text, signature []byte
}

func (f signed) check(t *trust, now time.Time) (*Release, error) {
	text, fingerprint, err := f.text, "", error(nil)
	if f.signature == nil {
		text, fingerprint, err = t.signedText(f.text, now)
	} else {
		fingerprint, err = t.detached(f.text, f.signature, now)
	}
	if err != nil {
		return nil, err
	}
	rel, err := parseRelease(text)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(f.text)
	rel.SHA256, rel.SignedBy = hex.EncodeToString(sum[:]), fingerprint
	return rel, nil
}

// readRelease fetches a release file or, without a network, takes the last one.
func (c *Client) readRelease(ctx context.Context, s *setup.Source) (signed, error) {
	if c.Offline && !strings.HasPrefix(s.URL, "file:") {
		f, err := c.recall(s)
		if errors.Is(err, fs.ErrNotExist) {
			return signed{}, &OfflineError{name(s)}
		}
		return f, err
	}
	read := func(file string) ([]byte, error) {
		return c.Files.Read(ctx, fetch.File{Name: file + " of " + s.Suite, URL: dir(s) + file}, maxRelease)
	}
	text, err := read("InRelease")
	if err == nil || !isMissing(err) {
		return signed{text: text}, err
	}
	if text, err = read("Release"); err != nil {
		return signed{}, err
	}
	signature, err := read("Release.gpg")
	return signed{text, signature}, err
}

// isMissing reports whether a server, or this machine, has no such file.
func isMissing(err error) bool {
	var status *fetch.StatusError
	return errors.As(err, &status) && (status.Code == http.StatusNotFound || status.Code == http.StatusGone) ||
		errors.Is(err, fs.ErrNotExist)
}

// checkDates refuses a release file from the future, or one that has expired.
func checkDates(rel *Release, s *setup.Source, r Request) error {
	date := func(t time.Time) string { return t.Format(time.RFC1123) }
	on := func(option, name string) bool {
		switch strings.ToLower(option) {
		case "":
			return r.Conf.Bool(name, true)
		default:
			return !slices.Contains([]string{"no", "false", "0", "off"}, strings.ToLower(option))
		}
	}
	if on(s.CheckDate, "Acquire::Check-Date") && rel.Date.After(r.Now.Add(maxSkew)) {
		return &StaleError{name(s), "is of " + date(rel.Date) + ", which is in the future"}
	}
	if !on(s.CheckValidUntil, "Acquire::Check-Valid-Until") {
		return nil
	}
	until := rel.ValidUntil
	if s.MaxAge > 0 {
		if most := rel.Date.Add(s.MaxAge); until.IsZero() || most.Before(until) {
			until = most
		}
	}
	if !until.IsZero() && until.Before(r.Now) {
		return &StaleError{name(s), "was valid until " + date(until)}
	}
	return nil
}

// maxSkew is how much the clocks of archive and machine may differ.
const maxSkew = 10 * time.Second

// remember keeps a release file, unless it is older than the one that is kept.
func (c *Client) remember(s *setup.Source, rel *Release, files signed, older bool) error {
	last, err := c.recall(s)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		seen, err := dateOf(last)
		switch {
		case err == nil && rel.Date.Before(seen) && older:
			return nil
		case err == nil && rel.Date.Before(seen):
			return &RollbackError{name(s), rel.Date, seen}
		case string(last.text) == string(files.text):
			return nil
		}
	}
	return c.Values.Put(memory(s), slices.Concat(fmt.Appendf(nil, "%d\n", len(files.text)), files.text, files.signature))
}

// recall returns the release file of a source that was seen last.
func (c *Client) recall(s *setup.Source) (signed, error) {
	b, err := c.Values.Get(memory(s))
	if err != nil {
		return signed{}, err
	}
	var size int
	if _, err := fmt.Sscanf(string(b[:min(len(b), 20)]), "%d\n", &size); err != nil {
		return signed{}, fmt.Errorf("the release file kept of %s is damaged: %w", name(s), fs.ErrNotExist)
	}
	b = b[slices.Index(b, '\n')+1:]
	size = min(size, len(b))
	f := signed{text: b[:size]}
	if len(b) > size {
		f.signature = b[size:]
	}
	return f, nil
}

// memory returns the name under which the release file of a source is kept.
// There is no user and no password in it.
func memory(s *setup.Source) string {
	sum := sha256.Sum256([]byte(name(s)))
	return "release-1-" + hex.EncodeToString(sum[:])
}

// dateOf returns the date of a release file that was checked before.
func dateOf(f signed) (time.Time, error) {
	text := f.text
	if i := strings.Index(string(text), "\n\n"); f.signature == nil && i >= 0 {
		text = text[i:] // behind the head of the signature
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "Date:"); ok {
			return parseDate(strings.TrimSpace(value))
		}
	}
	return time.Time{}, errors.New("it has no date")
}
