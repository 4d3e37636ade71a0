// SPDX-License-Identifier: Apache-2.0

package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	// The netrc reader of Git LFS, which has it from a widely used one.
	"github.com/git-lfs/go-netrc/netrc"

	"inlay/layers/pattern"
)

// A credential is a user and password for a part of a server.
type credential struct {
	user, password string
	of             string // the index that it is for, as errors name it
	at             *url.URL
}

// secret is the part of c that nobody may see: of a token that is given as the
// user, the user.
func (c credential) secret() string { return cmp.Or(c.password, c.user) }

// known is what sets made from one another know of credentials.
type known struct {
	vars    []map[string]string // the strongest first
	netrc   *netrc.Netrc        // nil if there is none
	file    func(path string) ([]byte, error)
	ask     func(ctx context.Context, args ...string) (string, error)
	ambient bool // the keyring may be asked for users that URLs name

	mu     sync.Mutex
	creds  []credential
	more   []Secret          // that belong to none of the indexes
	signed map[string]string // the queries of URLs that Public cut off
}

// maxSecrets bounds a file that holds credentials, in bytes.
const maxSecrets = 1 << 20

// readNetrc reads a netrc file. Its errors quote nothing of it.
func (k *known) readNetrc(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading credentials: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	k.netrc, err = netrc.Parse(io.LimitReader(f, maxSecrets))
	var bad *netrc.Error
	switch {
	case errors.As(err, &bad):
		return &Error{
			Where: fmt.Sprintf("%s:%d", path, bad.LineNum), Problem: "not the form of a netrc file",
			Fix: "write `machine HOST login USER password PASSWORD`, and `default` last",
		}
	case err != nil:
		return fmt.Errorf("reading credentials: %w", err)
	}
	return nil
}

// authenticate finds the credentials of an index: what the settings name for
// it, else what uv's rules find.
func (k *known) authenticate(ctx context.Context, e *entry) (err error) {
	var c credential
	kind, ref, _ := strings.Cut(e.auth, ":")
	switch kind {
	case "env":
		c, err = k.fromVariable(e, ref)
	case "file":
		c, err = k.fromFile(e, ref)
	case "netrc":
		c, err = k.fromNetrc(e)
	case "keyring":
		c, err = k.fromKeyring(ctx, e)
	default:
		k.learn(e)
		if k.ambient && k.of(e) == (credential{}) && e.user != nil {
			c, err = k.fromKeyring(ctx, e)
		}
	}
	if err == nil && c.secret() != "" {
		k.put(e, c)
	}
	return err
}

// learn notes the credentials that need no asking.
func (k *known) learn(e *entry) {
	c, ok := k.named(e)
	if !ok && e.user != nil {
		c.user = e.user.Username()
		c.password, ok = e.user.Password()
	}
	if !ok {
		if m := k.machine(e.URL, c.user); m != nil {
			c, ok = credential{user: m.Login, password: m.Password}, true
		}
	}
	// A user without a password may be a token, unless the keyring has one.
	if ok || c.user != "" && !k.ambient {
		k.put(e, c)
	}
}

// named returns what UV_INDEX_<NAME>_USERNAME and _PASSWORD say.
func (k *known) named(e *entry) (c credential, ok bool) {
	if e.Name == "" {
		return c, false
	}
	prefix := "UV_INDEX_" + strings.ToUpper(notLetter().ReplaceAllString(e.Name, "_"))
	for _, vars := range k.vars {
		c.user, c.password = vars[prefix+"_USERNAME"], vars[prefix+"_PASSWORD"]
		if c.user == "" && c.password != "" && e.user != nil {
			c.user = e.user.Username()
		}
		if c.user != "" || c.password != "" {
			return c, true
		}
	}
	return c, false
}

// fromVariable reads USER:PASSWORD, or a password or token alone, from a
// variable of the host.
func (k *known) fromVariable(e *entry, name string) (credential, error) {
	text := strings.TrimSpace(k.vars[0][name])
	if text == "" && k.ask == nil {
		return credential{}, nil // no network, no need
	}
	if text == "" {
		return credential{}, e.fault(fmt.Sprintf("the variable %s is not set", name), fmt.Sprintf("run `export %s=USER:PASSWORD` first", name))
	}
	return e.split(text), nil
}

// fromFile reads the same from a file.
func (k *known) fromFile(e *entry, path string) (credential, error) {
	b, err := k.file(path)
	if err != nil {
		return credential{}, e.fault(fmt.Sprintf("its credentials: %v", err), "write USER:PASSWORD into that file, or name another one")
	}
	text := strings.TrimSpace(string(b))
	if text == "" || len(b) > maxSecrets || strings.ContainsAny(text, "\r\n") {
		return credential{}, e.fault(fmt.Sprintf("the file %s is not of one line", path), "write USER:PASSWORD into it")
	}
	return e.split(text), nil
}

// split takes USER:PASSWORD apart. A password alone belongs to the URL's user,
// else to the one that indexes know tokens by.
func (e *entry) split(text string) credential {
	if user, password, ok := strings.Cut(text, ":"); ok {
		return credential{user: user, password: password}
	}
	return credential{user: cmp.Or(e.username(), "__token__"), password: text}
}

func (e *entry) username() string {
	if e.user == nil {
		return ""
	}
	return e.user.Username()
}

func (k *known) fromNetrc(e *entry) (credential, error) {
	m := k.machine(e.URL, e.username())
	if m == nil {
		return credential{}, e.fault("the netrc file names no such machine", "add `machine HOST login USER password PASSWORD` to ~/.netrc, or set NETRC to another file")
	}
	return credential{user: m.Login, password: m.Password}, nil
}

// machine returns what the netrc file says of the server of a URL.
func (k *known) machine(raw, user string) *netrc.Machine {
	u, err := url.Parse(raw)
	if err != nil || k.netrc == nil {
		return nil
	}
	for _, host := range slices.Compact([]string{u.Host, u.Hostname()}) {
		if m := k.netrc.FindMachine(host, user); m != nil && !m.IsDefault() && m.Password != "" {
			return m
		}
	}
	return nil
}

// fromKeyring asks the program keyring as uv and pip do: for the URL, then for
// the host; without a user, for both user and password.
func (k *known) fromKeyring(ctx context.Context, e *entry) (credential, error) {
	if k.ask == nil {
		return credential{}, nil
	}
	u, err := url.Parse(e.URL)
	if err != nil {
		return credential{}, err
	}
	for _, service := range []string{e.URL, u.Host} {
		args := []string{"get", service, e.username()}
		if e.username() == "" {
			args = []string{"--mode", "creds", "get", service}
		}
		out, err := k.ask(ctx, args...)
		if ctx.Err() != nil {
			return credential{}, ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return credential{}, e.fault("there is no program keyring to ask", "run `uv tool install keyring`, or give the credentials in another way")
		}
		c := credential{user: e.username(), password: strings.TrimRight(out, "\r\n")}
		if c.user == "" {
			c.user, c.password, _ = strings.Cut(c.password, "\n")
		}
		if err == nil && c.password != "" {
			return c, nil
		}
	}
	if e.auth == "" {
		return credential{user: e.username()}, nil // nobody said that the keyring has it
	}
	return credential{}, e.fault("the keyring has no password for it", fmt.Sprintf("run `keyring set %s USER`", e.URL))
}

func (e *entry) fault(problem, fix string) error {
	return &Error{Where: e.from, Index: cmp.Or(e.Name, e.URL), Problem: problem, Fix: fix}
}

// put notes the credentials of an index; the first for it count.
func (k *known) put(e *entry, c credential) {
	u, err := url.Parse(e.URL)
	if err != nil || c.secret() == "" {
		return
	}
	c.at, c.of = u, cmp.Or(e.Name, e.URL)
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.ContainsFunc(k.creds, func(have credential) bool { return same(have.at.String(), e.URL) }) {
		k.creds = append(k.creds, c)
	}
}

// of returns the credentials of an index.
func (k *known) of(e *entry) credential {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.creds {
		if same(c.at.String(), e.URL) {
			return c
		}
	}
	return credential{}
}

var userinfo = pattern.New(`://[^/\s]*@`)

// namesIndexes reports whether a variable of uv or pip names indexes.
func namesIndexes(variable string) bool {
	tool, what, _ := strings.Cut(variable, "_")
	what = "_" + what
	return (tool == "UV" || tool == "PIP") &&
		(strings.HasSuffix(what, "_INDEX_URL") || strings.HasSuffix(what, "_INDEX") || strings.HasSuffix(what, "_FIND_LINKS"))
}

// ofIndex reports whether a variable of uv says what, USERNAME or PASSWORD, of an
// index.
func ofIndex(variable, what string) bool {
	name, ok := strings.CutPrefix(variable, "UV_INDEX_")
	return ok && strings.HasSuffix(name, "_"+what)
}

// IsSecret reports whether a variable of pip or uv names a package index
// together with a user or password, or is one itself. Names that only look like
// theirs count too: it rather says so too often.
func IsSecret(name, value string) bool {
	name = strings.ToUpper(name)
	return value != "" && (ofIndex(name, "USERNAME") || ofIndex(name, "PASSWORD")) || namesIndexes(name) && userinfo().MatchString(value)
}

// spot notes the passwords in variables of indexes, used or not.
func (k *known) spot(env []string) {
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		if ofIndex(name, "PASSWORD") && value != "" {
			k.more = append(k.more, Secret{Value: value, Of: name})
		}
		if !namesIndexes(name) {
			continue
		}
		for _, raw := range strings.Fields(value) {
			k.spotURL(name, raw)
		}
	}
}

// spotURL notes the password in a URL of a variable, perhaps NAME=URL.
func (k *known) spotURL(variable, raw string) {
	if _, rest, ok := strings.Cut(raw, "="); ok && !strings.ContainsAny(raw[:len(raw)-len(rest)], ":/") {
		raw = rest
	}
	if u, err := url.Parse(raw); err == nil && u.User != nil {
		password, _ := u.User.Password()
		user := u.User.Username()
		k.more = append(k.more, Secret{User: user, Value: cmp.Or(password, user), Of: variable})
	}
}
