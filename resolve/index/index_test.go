// SPDX-License-Identifier: Apache-2.0

package index_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/index"
)

// gather returns the Set of o.
func gather(t *testing.T, o index.Options) *index.Set {
	t.Helper()
	s, err := index.Gather(t.Context(), o)
	if err != nil {
		t.Fatalf("Gather(%+v): %v", o, err)
	}
	return s
}

func TestOrder(t *testing.T) {
	t.Parallel()
	const a, b, c, d = "https://a.example/simple", "https://b.example/simple", "https://c.example/simple", "https://d.example/simple"
	tests := []struct {
		name string
		o    index.Options
		want []string
	}{
		{"none", index.Options{}, nil},
		{"flags, variables of the host, settings, variables of the settings", index.Options{
			Extra: []string{a}, Env: []string{"PIP_EXTRA_INDEX_URL=" + b}, Variables: []string{"UV_INDEX=" + d},
			Settings: []index.Setting{{Index: index.Index{URL: c}}},
		}, []string{a, b, c, d}},
		{"the first default counts, and is last", index.Options{
			Default: a, Extra: []string{b}, Env: []string{"UV_DEFAULT_INDEX=" + c, "PIP_INDEX_URL=" + d},
		}, []string{b, "default " + a}},
		{"uv's before pip's", index.Options{Env: []string{"PIP_INDEX_URL=" + a, "UV_INDEX_URL=" + b}}, []string{"default " + b}},
		{"uv's new name before its old one", index.Options{Env: []string{"UV_INDEX_URL=" + a, "UV_DEFAULT_INDEX=" + b}}, []string{"default " + b}},
		{"pip's alone", index.Options{Env: []string{"PIP_INDEX_URL=" + a, "PIP_EXTRA_INDEX_URL=" + b + " " + c}}, []string{b, c, "default " + a}},
		{"of the settings' environment", index.Options{Variables: []string{"PIP_INDEX_URL=" + a}}, []string{"default " + a}},
		{"one index twice", index.Options{Extra: []string{a}, Env: []string{"UV_INDEX=" + a + "/ corp=" + b}}, []string{a, b}},
		{"one index twice, once as the default", index.Options{Extra: []string{a}, Env: []string{"UV_DEFAULT_INDEX=" + a}}, []string{"default " + a}},
		{"without credentials and names", index.Options{Default: "corp=https://u:p@a.example/simple"}, []string{"default " + a}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, gather(t, tt.o).Key()); diff != "" {
			t.Errorf("%s: Key (-want +got):\n%s", tt.name, diff)
		}
	}
	if key := (*index.Set)(nil).Key(); key != nil {
		t.Errorf("the nil Set's Key = %q, want none", key)
	}
}

// keyring answers as the program does.
func keyring(t *testing.T, want ...string) func(context.Context, ...string) (string, error) {
	t.Helper()
	return func(_ context.Context, args ...string) (string, error) {
		if got := strings.Join(args, " "); got != want[0] {
			return "", errors.New("no password for " + got)
		}
		return want[1], nil
	}
}

func netrc(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	const url = "https://a.example/simple"
	none := keyring(t, "", "")
	setting := func(url, auth string) []index.Setting {
		return []index.Setting{{Index: index.Index{Name: "corp", URL: url}, Auth: auth}}
	}
	tests := []struct {
		name           string
		o              index.Options
		user, password string
	}{
		{"userinfo", index.Options{Extra: []string{"corp=https://us%40er:p%2Fw@a.example/simple"}}, "us@er", "p/w"},
		{"a token as the user", index.Options{Extra: []string{"corp=https://t0ken@a.example/simple"}}, "t0ken", ""},
		{"variables by name", index.Options{Extra: []string{"corp=" + url}, Env: []string{"UV_INDEX_CORP_USERNAME=us@er", "UV_INDEX_CORP_PASSWORD=p/w"}}, "us@er", "p/w"},
		{"variables over userinfo", index.Options{Extra: []string{"corp=https://a:b@a.example/simple"}, Env: []string{"UV_INDEX_CORP_USERNAME=us@er", "UV_INDEX_CORP_PASSWORD=p/w"}}, "us@er", "p/w"},
		{"a user in the URL, a password in a variable", index.Options{Extra: []string{"corp=https://u@a.example/simple"}, Env: []string{"UV_INDEX_CORP_PASSWORD=p"}}, "u", "p"},
		{"variables of the settings", index.Options{Settings: setting(url, ""), Variables: []string{"UV_INDEX_CORP_USERNAME=us@er", "UV_INDEX_CORP_PASSWORD=p/w"}}, "us@er", "p/w"},
		{"a variable", index.Options{Settings: setting(url, "env:CORP"), Env: []string{"CORP=us@er:p:w"}, Keyring: none}, "us@er", "p:w"},
		{"a token in a variable", index.Options{Settings: setting(url, "env:CORP"), Env: []string{"CORP=t0ken"}, Keyring: none}, "__token__", "t0ken"},
		{"a password in a variable", index.Options{Settings: setting("https://u@a.example/simple", "env:CORP"), Env: []string{"CORP=p"}, Keyring: none}, "u", "p"},
		{"a file", index.Options{Settings: setting(url, "file:corp"), File: func(string) ([]byte, error) { return []byte("u:p\n"), nil }}, "u", "p"},
		{"netrc", index.Options{Extra: []string{"corp=" + url}, Netrc: netrc(t, "machine b.example login x password y\nmachine a.example\n\tlogin u\n\tpassword p\ndefault login d password d\n")}, "u", "p"},
		{"netrc, when it is named", index.Options{Settings: setting(url, "netrc"), Netrc: netrc(t, "machine a.example login u password p")}, "u", "p"},
		{"netrc for the user of the URL", index.Options{Extra: []string{"corp=https://v@a.example/simple"}, Netrc: netrc(t, "machine a.example login u password p\nmachine a.example login v password q")}, "v", "q"},
		{"keyring", index.Options{Settings: setting("https://u@a.example/simple", "keyring"), Keyring: keyring(t, "get "+url+" u", "p\n")}, "u", "p"},
		{"keyring for the host", index.Options{Settings: setting("https://u@a.example/simple", "keyring"), Keyring: keyring(t, "get a.example u", "p\n")}, "u", "p"},
		{"keyring for the user too", index.Options{Settings: setting(url, "keyring"), Keyring: keyring(t, "--mode creds get "+url, "u\np\n")}, "u", "p"},
		{"keyring as uv's variable says", index.Options{Extra: []string{"corp=https://u@a.example/simple"}, Env: []string{"UV_KEYRING_PROVIDER=subprocess"}, Keyring: keyring(t, "get "+url+" u", "p\n")}, "u", "p"},
		{"keyring only if it is asked for", index.Options{Extra: []string{"corp=https://u@a.example/simple"}, Keyring: keyring(t, "get "+url+" u", "p\n")}, "u", ""},
		{"keyring not without a user", index.Options{Extra: []string{"corp=" + url}, Env: []string{"UV_KEYRING_PROVIDER=subprocess"}, Keyring: keyring(t, "--mode creds get "+url, "u\np\n")}, "", ""},
		{"the default of netrc is for no index", index.Options{Extra: []string{"corp=" + url}, Netrc: netrc(t, "default login u password p")}, "", ""},
		{"of the same index at a weaker level", index.Options{Settings: setting(url, ""), Variables: []string{"PIP_EXTRA_INDEX_URL=https://u:p@a.example/simple/"}}, "u", "p"},
		{"none", index.Options{Extra: []string{"corp=" + url}}, "", ""},
	}
	for _, tt := range tests {
		want := []string{"UV_INDEX=corp=" + url}
		if tt.user != "" {
			want = append(want, "UV_INDEX_CORP_PASSWORD="+tt.password, "UV_INDEX_CORP_USERNAME="+tt.user)
		}
		if diff := cmp.Diff(want, gather(t, tt.o).UVEnv()); diff != "" {
			t.Errorf("%s: UVEnv (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestEnvironments(t *testing.T) {
	t.Parallel()
	s := gather(t, index.Options{
		Default: "https://u:p%2Fw@a.example/simple",
		Extra:   []string{"https://b.example/simple", "a-b=https://x:y@c.example/simple", "a_b=https://x:z@d.example/simple"},
	})
	uv := []string{
		"UV_DEFAULT_INDEX=inlay-4=https://a.example/simple",
		"UV_INDEX=https://b.example/simple a-b=https://c.example/simple inlay-3=https://d.example/simple",
		"UV_INDEX_A_B_PASSWORD=y", "UV_INDEX_A_B_USERNAME=x",
		"UV_INDEX_INLAY_3_PASSWORD=z", "UV_INDEX_INLAY_3_USERNAME=x",
		"UV_INDEX_INLAY_4_PASSWORD=p/w", "UV_INDEX_INLAY_4_USERNAME=u",
	}
	if diff := cmp.Diff(uv, s.UVEnv()); diff != "" {
		t.Errorf("UVEnv (-want +got):\n%s", diff)
	}
	pip := []string{
		"PIP_EXTRA_INDEX_URL=https://b.example/simple https://x:y@c.example/simple https://x:z@d.example/simple",
		"PIP_INDEX_URL=https://u:p%2Fw@a.example/simple",
		"PIP_KEYRING_PROVIDER=disabled",
		"PIP_NO_INPUT=1",
	}
	if diff := cmp.Diff(pip, s.PipEnv()); diff != "" {
		t.Errorf("PipEnv (-want +got):\n%s", diff)
	}
}

func TestWith(t *testing.T) {
	t.Parallel()
	s := gather(t, index.Options{Default: "https://a.example/simple", Netrc: netrc(t, "machine d.example login n password netrcpw")})
	more, err := s.With("requirements.txt:3",
		index.Index{URL: "https://u:secret@b.example/simple"}, index.Index{URL: "https://d.example/simple"},
		index.Index{URL: "https://c.example/simple", Default: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"https://b.example/simple", "https://d.example/simple", "default https://a.example/simple"}
	if diff := cmp.Diff(want, more.Key()); diff != "" {
		t.Errorf("Key (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"default https://a.example/simple"}, s.Key()); diff != "" {
		t.Errorf("Key of the set it was made from (-want +got):\n%s", diff)
	}
	secrets := []index.Secret{{User: "u", Value: "secret", Of: "https://b.example/simple"}, {User: "n", Value: "netrcpw", Of: "https://d.example/simple"}}
	if diff := cmp.Diff(secrets, s.Secrets()); diff != "" {
		t.Errorf("the secrets that the first set knows (-want +got):\n%s", diff)
	}
	_, err = (*index.Set)(nil).With("requirements.txt:3", index.Index{URL: "https://u:sec/ret@b.example"})
	if want := `requirements.txt:3: the index "https://****@b.example": want an http or https URL`; err == nil || err.Error() != want {
		t.Errorf("With = %v, want %s", err, want)
	}
	alone, err := (*index.Set)(nil).With("", index.Index{URL: "https://b.example/simple", Default: true})
	if err != nil || alone.Default() != "https://b.example/simple" {
		t.Errorf("With of the nil Set = %v, %v", alone.Key(), err)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	s := gather(t, index.Options{
		Default:   "https://u:default@a.example/simple",
		Extra:     []string{"corp=https://t0ken@b.example/simple"},
		Env:       []string{"UV_INDEX_OTHER_PASSWORD=other", "HOME=https://u:home@a.example"},
		Variables: []string{"PIP_INDEX_URL=https://u:weaker@c.example/simple"},
		Unused:    []string{"PIP_FIND_LINKS=https://u:links@d.example/"},
		Netrc:     netrc(t, "machine files.example login n password files\nmachine e.example login n password never"),
	})
	want := []index.Secret{
		{User: "t0ken", Value: "t0ken", Of: "corp"},
		{User: "u", Value: "default", Of: "https://a.example/simple"},
		{User: "u", Value: "weaker", Of: "https://c.example/simple"},
		{User: "n", Value: "files", Of: "files.example"},
		{Value: "other", Of: "UV_INDEX_OTHER_PASSWORD"},
		{User: "u", Value: "links", Of: "PIP_FIND_LINKS"},
	}
	if diff := cmp.Diff(want, s.Secrets("https://files.example/x.whl", "https://a.example/x.whl")); diff != "" {
		t.Errorf("Secrets (-want +got):\n%s", diff)
	}
}

func TestHidden(t *testing.T) {
	t.Parallel()
	s := gather(t, index.Options{Extra: []string{"https://u:eight888@a.example/simple", "https://u:seven77@b.example/simple"}})
	if diff := cmp.Diff([]string{"eight888"}, s.Hidden()); diff != "" {
		t.Errorf("Hidden (-want +got):\n%s", diff)
	}
}

func TestRealm(t *testing.T) {
	t.Parallel()
	realm := func(urls ...string) string { return gather(t, index.Options{Extra: urls}).Realm() }
	one := realm("https://u:p@a.example/simple")
	tests := []struct {
		name string
		got  string
		same bool
	}{
		{"another password", realm("https://u:q@a.example/simple"), true},
		{"beside a public index", realm("https://b.example/simple", "https://u:p@a.example/simple"), true},
		{"another user", realm("https://v:p@a.example/simple"), false},
		{"another server", realm("https://u:p@b.example/simple"), false},
		{"none", realm("https://a.example/simple"), false},
	}
	for _, tt := range tests {
		if (tt.got == one) != tt.same {
			t.Errorf("%s: the realm is %q, that of u at a.example is %q, want them to be the same: %v", tt.name, tt.got, one, tt.same)
		}
	}
	asked := gather(t, index.Options{Settings: []index.Setting{{Index: index.Index{URL: "https://u@a.example/simple"}, Auth: "keyring"}}, Keyring: keyring(t, "get a.example u", "p")})
	unasked := gather(t, index.Options{Settings: []index.Setting{{Index: index.Index{URL: "https://u@a.example/simple"}, Auth: "keyring"}}})
	if asked.Realm() != one || unasked.Realm() != one || len(unasked.Secrets()) != 0 {
		t.Errorf("with a keyring the realm is %q, without a network %q, want %q", asked.Realm(), unasked.Realm(), one)
	}
	if one == "" || realm() != "" {
		t.Errorf("realms %q with and %q without credentials, want one and none", one, realm())
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	asked := keyring(t, "", "")
	absent := func(context.Context, ...string) (string, error) { return "", fs.ErrNotExist }
	setting := func(auth string) []index.Setting {
		return []index.Setting{{Index: index.Index{Name: "corp", URL: "https://s3cret@a.example/simple"}, Auth: auth}}
	}
	bad := netrc(t, "default login u password s3cret\nmachine a.example login u password s3cret\n")
	tests := []struct {
		name string
		o    index.Options
		want string
	}{
		{"no scheme", index.Options{Default: "a.example/simple"}, `--index-url: the index "a.example/simple": want an http or https URL`},
		{"a password that is not escaped", index.Options{Default: "https://u:s3/cret@a.example/simple"}, `--index-url: the index "https://****@a.example/simple": want an http or https URL`},
		{"a password that reads as a port", index.Options{Default: "https://u:12/s3cret@a.example/simple"}, `--index-url: the index "https://****@a.example/simple": an @ follows the host`},
		{"a token in the query", index.Options{Extra: []string{"https://a.example/simple?s3cret"}}, `--extra-index-url: the index "https://a.example/simple?****": the URL of an index has no ? and no #`},
		{"a space", index.Options{Default: "https://u:s3 cret@a.example/simple"}, `--index-url: the index "https://****@a.example/simple": a URL has no spaces`},
		{"a name", index.Options{Env: []string{"UV_INDEX=c*rp=https://u:s3cret@a.example/simple"}}, "UV_INDEX: the index \"c*rp=https://****@a.example/simple\": the name before the = has other letters than A-Z, a-z, 0-9, `.`, `-` and `_`"},
		{"of the settings' environment", index.Options{Variables: []string{"PIP_INDEX_URL=ftp://u:s3cret@a.example"}}, `environment: PIP_INDEX_URL: the index "ftp://****@a.example": want an http or https URL`},
		{"no variable", index.Options{Settings: setting("env:CORP"), Keyring: asked}, `indexes: the index "corp": the variable CORP is not set`},
		{"no netrc", index.Options{Settings: setting("netrc")}, `indexes: the index "corp": the netrc file names no such machine`},
		{"a bad netrc", index.Options{Netrc: bad}, bad + ":2: not the form of a netrc file"},
		{"no keyring", index.Options{Settings: setting("keyring"), Keyring: absent}, `indexes: the index "corp": there is no program keyring to ask`},
		{"an empty keyring", index.Options{Settings: setting("keyring"), Keyring: asked}, `indexes: the index "corp": the keyring has no password for it`},
		{"a missing file", index.Options{Settings: setting("file:x"), File: os.ReadFile}, `indexes: the index "corp": its credentials: open x: no such file or directory`},
		{"a file of two lines", index.Options{Settings: setting("file:x"), File: func(string) ([]byte, error) { return []byte("u\ns3cret"), nil }}, `indexes: the index "corp": the file x is not of one line`},
	}
	for _, tt := range tests {
		_, err := index.Gather(t.Context(), tt.o)
		var e *index.Error
		if !errors.As(err, &e) || err.Error() != tt.want || e.Hint() == "" {
			t.Errorf("%s: Gather = %v, want %s and a hint", tt.name, err, tt.want)
			continue
		}
		if strings.Contains(err.Error()+e.Hint(), "cret") {
			t.Errorf("%s: a secret is in %v or its hint %s", tt.name, err, e.Hint())
		}
	}
	// Without a network a variable that isn't set is no mistake.
	gather(t, index.Options{Settings: setting("env:CORP")})
}

func TestFaultOfASetting(t *testing.T) {
	t.Parallel()
	there := errors.New("inlay.yaml:3")
	_, err := index.Gather(t.Context(), index.Options{Keyring: keyring(t, "", ""), Settings: []index.Setting{
		{Index: index.Index{URL: "https://b.example/simple"}, Fault: func(string, string) error { return errors.New("inlay.yaml:2") }},
		{Index: index.Index{URL: "https://a.example/simple"}, Auth: "env:X", Fault: func(string, string) error { return there }},
	}})
	if !errors.Is(err, there) {
		t.Errorf("Gather = %v, want what the Fault of the second setting made", err)
	}
}
