// SPDX-License-Identifier: Apache-2.0

package python_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/python"
)

const (
	sumA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	sumB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func TestParseRequirements(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want []python.Line
	}{
		{"nothing", "", nil},
		{"only comments", "# a\n\n   # b\n", nil},
		{"plain", "numpy>=2\nrequests\n", []python.Line{{1, "numpy>=2"}, {2, "requests"}}},
		{"no last line end", "numpy", []python.Line{{1, "numpy"}}},
		{"comments", "numpy # fast\n# no\npandas#no comment", []python.Line{{1, "numpy"}, {3, "pandas#no comment"}}},
		{"byte order mark and CRLF", "\ufeffnumpy\r\npandas\r\n", []python.Line{{1, "numpy"}, {2, "pandas"}}},
		{
			"extras and markers", `requests[socks] >= 2 ; python_version < "3.12" and sys_platform == 'linux'`,
			[]python.Line{{1, `requests[socks] >= 2 ; python_version < "3.12" and sys_platform == 'linux'`}},
		},
		{"a continuation", "numpy \\\n  >=2, \\\n <3\npandas", []python.Line{{1, "numpy >=2, <3"}, {4, "pandas"}}},
		{"a continuation at the end", "numpy\\\n", []python.Line{{1, "numpy"}}},
		{"a comment ends a continuation", "numpy \\\n# no\npandas", []python.Line{{1, "numpy"}, {3, "pandas"}}},
		{
			"hashes", "six==1.0 --hash=sha256:" + sumA + " \\\n    --hash sha256:" + sumB + " --hash=sha512:cc",
			[]python.Line{{1, "six==1.0 --hash=sha256:" + sumA + " --hash sha256:" + sumB + " --hash=sha512:cc"}},
		},
		{
			"the URL of a wheel", "six @ https://example.com/a%20b/six-1.0-py3-none-any.whl#sha256=" + sumA + " ; python_version > '3'",
			[]python.Line{{1, "six @ https://example.com/a%20b/six-1.0-py3-none-any.whl#sha256=" + sumA + " ; python_version > '3'"}},
		},
		{
			"the URL without spaces", "six[x]@https://example.com/six-1.0-py3-none-any.whl",
			[]python.Line{{1, "six[x]@https://example.com/six-1.0-py3-none-any.whl"}},
		},
		{"slashes in a marker", "six;platform_version=='a/b:c'", []python.Line{{1, "six;platform_version=='a/b:c'"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := python.ParseRequirements("r.txt", iotest.OneByteReader(strings.NewReader(tt.in)))
			if err != nil {
				t.Fatalf("ParseRequirements(%q): %v", tt.in, err)
			}
			if diff := cmp.Diff(python.Group{Name: "r.txt", Lines: tt.want}, got); diff != "" {
				t.Errorf("ParseRequirements(%q) (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

// What a requirements file may hold but this program doesn't support is named
// with its file and line, and nothing of it is dropped in silence.
func TestParseRequirementsRefuses(t *testing.T) {
	tests := []struct {
		in   string
		want string
	}{
		{"-r more.txt", `r.txt:3: "-r more.txt": ` + "`-r` lines are not supported yet"},
		{"-rmore.txt", `r.txt:3: "-rmore.txt": ` + "`-r` lines are not supported yet"},
		{"--requirement=more.txt", `r.txt:3: "--requirement=more.txt": ` + "`-r` lines are not supported yet"},
		{"-c pins.txt", `r.txt:3: "-c pins.txt": ` + "`-c` lines are not supported yet"},
		{"-e .", `r.txt:3: "-e .": ` + "`-e` lines are not supported yet"},
		{"-i https://u:secret@example.com/simple", `r.txt:3: "-i https://****@example.com/simple": ` + "`--index-url` lines are not supported yet"},
		{"--extra-index-url https://u:p@ss@example.com", `r.txt:3: "--extra-index-url https://****@example.com": ` + "`--extra-index-url` lines are not supported yet"},
		{"--find-links /wheels", `r.txt:3: "--find-links /wheels": ` + "`--find-links` lines are not supported yet"},
		{"--pre", `r.txt:3: "--pre": ` + "`--pre` lines are not supported yet"},
		{"-", `r.txt:3: "-": ` + "`-` lines are not supported yet"},
		{"six --no-binary six", `r.txt:3: "six --no-binary six": only ` + "`--hash` is supported after a requirement"},
		{"six --hash=md5:00", `r.txt:3: "six --hash=md5:00": none of its hashes is a sha256`},
		{"six --hash=sha256:00", `r.txt:3: "six --hash=sha256:00": none of its hashes is a sha256`},
		{".", `r.txt:3: ".": paths of local files are not supported yet`},
		{"./six", `r.txt:3: "./six": paths of local files are not supported yet`},
		{"~/six", `r.txt:3: "~/six": paths of local files are not supported yet`},
		{"/six[x]", `r.txt:3: "/six[x]": paths of local files are not supported yet`},
		{"six-1.0-py3-none-any.whl", `r.txt:3: "six-1.0-py3-none-any.whl": paths of local files are not supported yet`},
		{"six-1.0.tar.gz", `r.txt:3: "six-1.0.tar.gz": paths of local files are not supported yet`},
		{"file:///six", `r.txt:3: "file:///six": a URL must follow the name of its package`},
		{"https://example.com/six-1.0-py3-none-any.whl", `r.txt:3: "https://example.com/six-1.0-py3-none-any.whl": a URL must follow the name of its package`},
		{"git+https://example.com/six", `r.txt:3: "git+https://example.com/six": version control URLs are not supported yet`},
		{"six @ git+https://example.com/six", `r.txt:3: "six @ git+https://example.com/six": version control URLs are not supported yet`},
		{"six @ file:///six-1.0-py3-none-any.whl", `r.txt:3: "six @ file:///six-1.0-py3-none-any.whl": only http and https URLs are supported`},
		{"six @ six-1.0-py3-none-any.whl", `r.txt:3: "six @ six-1.0-py3-none-any.whl": what follows the @ is not a URL`},
		{"six @", `r.txt:3: "six @": what follows the @ is not a URL`},
		{"six @ https:///six.whl", `r.txt:3: "six @ https:///six.whl": the URL has no host`},
		{"six @ https://u:secret@example.com/six.whl", `r.txt:3: "six @ https://****@example.com/six.whl": credentials in URLs are not supported yet`},
		{"six @ https://u:se cret@example.com/six.whl", `r.txt:3: "six @ https://****@example.com/six.whl": what follows the @ is not a URL`},
		{"six @ https://u:se/cret@example.com/six.whl", `r.txt:3: "six @ https://****@example.com/six.whl": what follows the @ is not a URL`},
		{"six @ https://u:se#cret@example.com/six.whl", `r.txt:3: "six @ https://****@example.com/six.whl": what follows the @ is not a URL`},
		{"six @ https://example.com/six.zip?sig=secret", `r.txt:3: "six @ https://example.com/six.zip?****": only URLs of wheels are supported: sources would have to be built`},
		{"six @ https://example.com/six-1.0.tar.gz", `r.txt:3: "six @ https://example.com/six-1.0.tar.gz": only URLs of wheels are supported: sources would have to be built`},
		{"six==${VERSION}", `r.txt:3: "six==${VERSION}": variables in requirements are not supported yet`},
		{"six==\\ ", `r.txt:3: "six==\\": blanks follow the ` + "`\\` that should continue the line"},
		{"!six", `r.txt:3: "!six": this is not a requirement`},
		{"six\xff", `r.txt:3: "six` + "\ufffd" + `": this is not text`},
		{"six\x00", `r.txt:3: "six\x00": this is not text`},
		{strings.Repeat("x", 1<<20), `r.txt:3: "…": the line is longer than 1 MiB or the file longer than 100000 lines`},
		{strings.Repeat("xx\\\n", 1<<19), `r.txt:3: "…": the line is longer than 1 MiB or the file longer than 100000 lines`},
	}
	for _, tt := range tests {
		_, err := python.ParseRequirements("r.txt", strings.NewReader("numpy\n# no\n"+tt.in+"\npandas\n"))
		var re *python.RequirementError
		if !errors.As(err, &re) {
			t.Errorf("ParseRequirements(%.40q): %v, want a *RequirementError", tt.in, err)
			continue
		}
		if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
			t.Errorf("ParseRequirements(%.40q) (-want +got):\n%s", tt.in, diff)
		}
		if re.Hint() == "" {
			t.Errorf("ParseRequirements(%.40q) gives no hint", tt.in)
		}
		if strings.Contains(err.Error()+re.Hint(), "secret") {
			t.Errorf("ParseRequirements(%.40q) tells the password: %v, %s", tt.in, err, re.Hint())
		}
	}
}

func TestParseRequirementsReadError(t *testing.T) {
	broken := errors.New("broken")
	if _, err := python.ParseRequirements("r.txt", iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("ParseRequirements of a broken reader: %v, want %v", err, broken)
	}
}

func FuzzParseRequirements(f *testing.F) {
	for _, s := range []string{
		"numpy>=2 # x\n", "a\\\n b\n", "a --hash=sha256:" + sumA, "x @ https://u@h/x.whl", "-e .", "git+ssh://x", "\ufeff\r\n", "a ; b == '#'",
		"a\u00a0#b", "~", "@", "--hash", "x[", "x @ ;", "a ==\\ \n", "a\\",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		g, err := python.ParseRequirements("r.txt", strings.NewReader(in))
		if err != nil {
			var re *python.RequirementError
			if !errors.As(err, &re) {
				t.Fatalf("ParseRequirements(%q): %v, want a *RequirementError", in, err)
			}
			return
		}
		last := 0
		for _, l := range g.Lines {
			if l.Number <= last || l.Text == "" || strings.ContainsAny(l.Text, "\n\r") {
				t.Fatalf("ParseRequirements(%q) has the line %+v after %d", in, l, last)
			}
			last = l.Number
			again, err := python.ParseRequirements("r.txt", strings.NewReader(l.Text))
			if err != nil || len(again.Lines) != 1 || again.Lines[0].Text != l.Text {
				t.Fatalf("ParseRequirements(%q) gives %q, which parsed again is %+v, %v", in, l.Text, again.Lines, err)
			}
		}
	})
}

func ExampleParseRequirements() {
	g, err := python.ParseRequirements("requirements.txt", strings.NewReader("numpy>=2  # arrays\n\nrequests[socks] \\\n  >=2.31\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range g.Lines {
		fmt.Printf("%s:%d: %s\n", g.Name, l.Number, l.Text)
	}
	// Output:
	// requirements.txt:1: numpy>=2
	// requirements.txt:3: requests[socks] >=2.31
}
