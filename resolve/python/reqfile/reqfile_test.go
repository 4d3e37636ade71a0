// SPDX-License-Identifier: Apache-2.0

package reqfile_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"inlay/resolve/python/reqfile"
)

const (
	sumA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	sumB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// files are the files of a project in /app.
func files(m map[string]string) func(string) (io.ReadCloser, error) {
	all := fstest.MapFS{}
	for name, content := range m {
		all[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return func(path string) (io.ReadCloser, error) {
		name := strings.TrimPrefix(path, "/app/")
		if path == "/app" {
			name = "."
		}
		f, err := all.Open(name)
		if err != nil {
			return nil, err
		}
		if info, err := f.Stat(); err == nil && info.IsDir() && strings.HasSuffix(path, "dir") {
			return io.NopCloser(iotest.ErrReader(syscall.EISDIR)), nil
		}
		return f, nil
	}
}

// lookup knows the variables of the tests.
func lookup(name string) (string, bool) {
	v, ok := map[string]string{"VERSION": "1.5", "TOKEN": "s3cret/+", "EMPTY": ""}[name]
	return v, ok
}

// read reads a file of /app.
func read(name string, m map[string]string) (reqfile.Group, error) {
	return reqfile.Reader{Open: files(m), Dir: "/app", Lookup: lookup}.File(name, "/app/"+name)
}

// texts are lines as "SOURCE:NUMBER TEXT".
func texts(lines []reqfile.Line) (all []string) {
	for _, l := range lines {
		all = append(all, fmt.Sprintf("%s:%d %s", l.Source, l.Number, l.Text))
	}
	return all
}

func TestLines(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want []string
	}{
		{"nothing", "", nil},
		{"only comments", "# a\n\n   # b\n", nil},
		{"plain", "numpy>=2\nrequests\n", []string{"r.txt:1 numpy>=2", "r.txt:2 requests"}},
		{"no last line end", "numpy", []string{"r.txt:1 numpy"}},
		{"comments", "numpy # fast\n# no\npandas#no comment", []string{"r.txt:1 numpy", "r.txt:3 pandas#no comment"}},
		{"byte order mark and CRLF", "\ufeffnumpy\r\npandas\r\n", []string{"r.txt:1 numpy", "r.txt:2 pandas"}},
		{
			"extras and markers", `requests[socks] >= 2 ; python_version < "3.12" and sys_platform == 'linux'`,
			[]string{`r.txt:1 requests[socks] >= 2 ; python_version < "3.12" and sys_platform == 'linux'`},
		},
		{"a continuation", "numpy \\\n  >=2, \\\n <3\npandas", []string{"r.txt:1 numpy >=2, <3", "r.txt:4 pandas"}},
		{"a continuation at the end", "numpy\\\n", []string{"r.txt:1 numpy"}},
		{"a comment ends a continuation", "numpy \\\n# no\npandas", []string{"r.txt:1 numpy", "r.txt:3 pandas"}},
		{
			"hashes", "six==1.0 --hash=sha256:" + sumA + " \\\n    --hash sha256:" + sumB + " --hash=sha512:cc",
			[]string{"r.txt:1 six==1.0 --hash=sha256:" + sumA + " --hash sha256:" + sumB + " --hash=sha512:cc"},
		},
		{
			"the URL of a wheel", "six @ https://example.com/a%20b/six-1.0-py3-none-any.whl#sha256=" + sumA + " ; python_version > '3'",
			[]string{"r.txt:1 six @ https://example.com/a%20b/six-1.0-py3-none-any.whl#sha256=" + sumA + " ; python_version > '3'"},
		},
		{
			"the URL without spaces", "six[x]@https://example.com/six-1.0-py3-none-any.whl",
			[]string{"r.txt:1 six[x] @ https://example.com/six-1.0-py3-none-any.whl"},
		},
		{
			"a URL without a name", "https://example.com/Six_x-1.0-py3-none-any.whl ; os_name == 'posix'",
			[]string{"r.txt:1 Six_x @ https://example.com/Six_x-1.0-py3-none-any.whl ; os_name == 'posix'"},
		},
		{"slashes in a marker", "six;platform_version=='a/b:c'", []string{"r.txt:1 six;platform_version=='a/b:c'"}},
		{"a local wheel", "./w/six-1.0-py3-none-any.whl", []string{"r.txt:1 six @ file:///app/w/six-1.0-py3-none-any.whl"}},
		{"a local wheel beside", "six-2.0-py3-none-any.whl[x]; os_name == 'nt'", []string{"r.txt:1 six[x] @ file:///app/six-2.0-py3-none-any.whl ; os_name == 'nt'"}},
		{"a local wheel by URL", "file:///app/w/six-1.0-py3-none-any.whl", []string{"r.txt:1 six @ file:///app/w/six-1.0-py3-none-any.whl"}},
		{"a relative file URL", "six @ file:w/six-1.0-py3-none-any.whl", []string{"r.txt:1 six @ file:///app/w/six-1.0-py3-none-any.whl"}},
		{"a local wheel with its name", "six[x] @ file:///app/w/six-1.0-py3-none-any.whl ; os_name == 'nt'", []string{"r.txt:1 six[x] @ file:///app/w/six-1.0-py3-none-any.whl ; os_name == 'nt'"}},
		{"a path after a name", "six @ ./w/six-1.0-py3-none-any.whl", []string{"r.txt:1 six @ file:///app/w/six-1.0-py3-none-any.whl"}},
		{"a local wheel with a hash", "./w/six-1.0-py3-none-any.whl --hash=sha256:" + sumA, []string{"r.txt:1 six @ file:///app/w/six-1.0-py3-none-any.whl --hash=sha256:" + sumA}},
		{"a project", "./lib", []string{"r.txt:1 libx @ file:///app/lib"}},
		{"a project with extras", "./lib[fast, x] ; os_name == 'posix'", []string{"r.txt:1 libx[fast, x] @ file:///app/lib ; os_name == 'posix'"}},
		{"this project", "-e .[fast]", []string{"r.txt:1 poet[fast] @ file:///app"}},
		{"a project of setup.cfg", "-e ./old", []string{"r.txt:1 old.name @ file:///app/old"}},
		{"a project that is named", "mine @ file:bare", []string{"r.txt:1 mine @ file:///app/bare"}},
		{"an archive of sources", "./six-1.0.tar.gz", []string{"r.txt:1 six @ file:///app/six-1.0.tar.gz"}},
		{"a repository", "six[x] @ git+https://h/six@main#subdirectory=a", []string{"r.txt:1 six[x] @ git+https://h/six@main#subdirectory=a"}},
		{"a repository that says its name", "-e git+ssh://git@h/six.git@1.0#egg=six", []string{"r.txt:1 six @ git+ssh://git@h/six.git@1.0#egg=six"}},
		{"a repository of this machine", "six @ git+file:///srv/six ; os_name == 'posix'", []string{"r.txt:1 six @ git+file:///srv/six ; os_name == 'posix'"}},
		{"a variable", "six==${VERSION}\nidna==$VERSION", []string{"r.txt:1 six==1.5", "r.txt:2 idna==$VERSION"}},
		{"lower case is no variable", "six==${version}", []string{"r.txt:1 six==${version}"}},
		{
			"other files", "a\n-r sub/more.txt\nb\n--requirement=sub/more.txt\n-rsub/deeper.txt",
			[]string{"r.txt:1 a", "sub/more.txt:1 c", "sub/deeper.txt:1 d", "r.txt:3 b", "sub/more.txt:1 c", "sub/deeper.txt:1 d", "sub/deeper.txt:1 d"},
		},
		{"a file of the directory of the whole", "-r sub/back.txt", []string{"other.txt:1 e", "sub/w.txt:1 six @ file:///app/w/six-1.0-py3-none-any.whl"}},
		{"a file by its path", "-r '/app/a b.txt'", []string{"/app/a b.txt:1 f"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := read("r.txt", map[string]string{
				"r.txt": tt.in, "w/six-1.0-py3-none-any.whl": "", "six-2.0-py3-none-any.whl": "", "sub/more.txt": "c\n-r deeper.txt",
				"pyproject.toml": "[tool.poetry]\nname = 'poet'\n", "lib/pyproject.toml": "[project]\nname = 'libx'\n", "six-1.0.tar.gz": "",
				"old/setup.cfg": "[options]\nname = no\n[metadata]\nversion = 1\nname = old.name\n", "old/setup.py": "", "bare/setup.py": "",
				"sub/deeper.txt": "d", "other.txt": "e", "sub/back.txt": "-r ../other.txt\n-r w.txt", "sub/w.txt": "w/six-1.0-py3-none-any.whl", "a b.txt": "f",
			})
			if err != nil {
				t.Fatalf("reading %q: %v", tt.in, err)
			}
			if diff := cmp.Diff(tt.want, texts(got.Lines)); diff != "" {
				t.Errorf("reading %q (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

// A line says all that its user needs.
func TestLine(t *testing.T) {
	g, err := read("r.txt", map[string]string{
		"r.txt":                      "\nTorch_X[a] @ https://h/torch_x-1-py3-none-any.whl?t=${TOKEN}#sha256=" + sumA + "\n./w/six-1.0-py3-none-any.whl --hash=sha256:" + strings.ToUpper(sumB),
		"w/six-1.0-py3-none-any.whl": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	const url = "https://h/torch_x-1-py3-none-any.whl?t=s3cret/+#sha256=" + sumA
	want := reqfile.Group{
		Name: "r.txt",
		Lines: []reqfile.Line{
			{
				Source: "r.txt", Number: 2, Shown: "Torch_X[a] @ https://h/torch_x-1-py3-none-any.whl?****#sha256=" + sumA,
				Text: "Torch_X[a] @ " + url, Name: "torch-x", URL: url, Hashes: []string{"sha256:" + sumA},
			},
			{
				Source: "r.txt", Number: 3, Shown: "./w/six-1.0-py3-none-any.whl --hash=sha256:" + strings.ToUpper(sumB),
				Text: "six @ file:///app/w/six-1.0-py3-none-any.whl --hash=sha256:" + strings.ToUpper(sumB),
				Name: "six", URL: "file:///app/w/six-1.0-py3-none-any.whl", Hashes: []string{"sha256:" + sumB},
			},
		},
		Secrets: []string{"s3cret/+"},
	}
	if diff := cmp.Diff(want, g); diff != "" {
		t.Errorf("the group (-want +got):\n%s", diff)
	}
	if got := g.Lines[1].Path(); got != "/app/w/six-1.0-py3-none-any.whl" {
		t.Errorf("Path() = %q", got)
	}
	if got := g.Lines[0].Path(); got != "" {
		t.Errorf("Path() of a URL = %q", got)
	}
}

func TestConstraints(t *testing.T) {
	g, err := read("r.txt", map[string]string{"r.txt": "a\n-c sub/c.txt", "sub/c.txt": "a<2\n-c d.txt\n-r r.txt", "sub/d.txt": "b<3", "sub/r.txt": "c"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"sub/c.txt:1 a<2", "sub/d.txt:1 b<3"}, texts(g.Constraints)); diff != "" {
		t.Errorf("constraints (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"r.txt:1 a", "sub/r.txt:1 c"}, texts(g.Lines)); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestOptions(t *testing.T) {
	g, err := read("sub/r.txt", map[string]string{
		"sub/r.txt": "-i https://h/${TOKEN}/simple # x\n--extra-index-url=https://e/simple --pre\n--no-index -f wheels\n" +
			"--find-links https://l\n--no-binary :all:\n--only-binary=a,b\n--require-hashes\n--trusted-host h --prefer-binary\nsix",
		"wheels/x": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range g.Options {
		got = append(got, fmt.Sprintf("%d %s=%s", o.Number, o.Name, o.Value))
	}
	want := []string{
		"1 index-url=https://h/s3cret/+/simple", "2 extra-index-url=https://e/simple", "2 pre=", "3 no-index=", "3 find-links=/app/wheels",
		"4 find-links=https://l", "5 no-binary=:all:", "6 only-binary=a,b", "7 require-hashes=", "8 trusted-host=h", "8 prefer-binary=",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the options (-want +got):\n%s", diff)
	}
	if g.Options[0].Shown != "-i https://h/${TOKEN}/simple" {
		t.Errorf("the option is shown as %q", g.Options[0].Shown)
	}
	if got := g.Redact("GET https://h/s3cret/+/simple and s3cret%2F%2B"); got != "GET https://h/****/simple and ****" {
		t.Errorf("Redact = %q", got)
	}
}

// A line says whether it names sources, and of which kind.
func TestSources(t *testing.T) {
	g, err := read("r.txt", map[string]string{
		"r.txt":              "-e ./lib\n./six-1.0.zip --hash=sha256:" + sumA + "\nsix @ git+https://ann:pw@h/six\nsix @ https://h/six-1.0.tar.gz#sha256=" + sumB,
		"lib/pyproject.toml": "[project]\nname = 'libx'\n", "six-1.0.zip": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range g.Lines {
		got = append(got, fmt.Sprintf("%s %v %v %v %q %q %s", l.Name, l.Sources, l.Tree, l.Editable, l.Path(), l.Hashes, l.Shown))
	}
	want := []string{
		`libx true true true "/app/lib" [] -e ./lib`,
		`six true false false "/app/six-1.0.zip" ["sha256:` + sumA + `"] ./six-1.0.zip --hash=sha256:` + sumA,
		`six true true false "" [] six @ git+https://****@h/six`,
		`six true false false "" ["sha256:` + sumB + `"] six @ https://h/six-1.0.tar.gz#sha256=` + sumB,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the lines (-want +got):\n%s", diff)
	}
}

// What can't be used is named with its file and line, and nothing of a file is
// dropped in silence.
func TestRefuses(t *testing.T) {
	tests := []struct {
		in   string
		want string
	}{
		{"-r none.txt", `"-r none.txt": there is no file none.txt`},
		{"-c none.txt", `"-c none.txt": there is no file none.txt`},
		{"-r loop.txt", `loop.txt:1: "-r r.txt": r.txt includes itself`},
		{"-r r.txt", `"-r r.txt": r.txt includes itself`},
		{"-r sub/dir", `"-r sub/dir": sub/dir is a directory`},
		{"-r https://u:secret@h/r.txt", `"-r https://****@h/r.txt": requirements files from the web are not supported`},
		{"-r sub/bad.txt", `sub/bad.txt:2: "!a": this is not a requirement`},
		{"-e .", `"-e .": there is no pyproject.toml and no setup.py in .`},
		{"-e six", `"-e six": only a project can be installed for editing: a directory or a repository`},
		{"-e ./nameless", `"-e ./nameless": nothing says what package this is`},
		{"--editable=git+https://u:secret@h/x", `"--editable=git+https://****@h/x": nothing says what package this is`},
		{"--find-links /none", `"--find-links /none": there is no directory /none`},
		{"--pre=1", `"--pre=1": ` + "`--pre` takes no value"},
		{"-i", `"-i": ` + "`--index-url` needs a value"},
		{"-i 'x", `"-i 'x": a quotation mark is not closed`},
		{"--pre six", `"--pre six": only options may follow an option`},
		{"--use-feature=x", `"--use-feature=x": ` + "`--use-feature` lines are not supported"},
		{"-", `"-": ` + "`-` is not an option of a requirements file"},
		{"-x", `"-x": ` + "`-x` is not an option of a requirements file"},
		{"six --no-binary six", `"six --no-binary six": only ` + "`--hash` is supported after a requirement"},
		{"six --hash=md5:00", `"six --hash=md5:00": none of its hashes is a sha256`},
		{"six --hash=sha256:00", `"six --hash=sha256:00": none of its hashes is a sha256`},
		{".", `".": there is no pyproject.toml and no setup.py in .`},
		{"./six", `"./six": there is no file six`},
		{"~/six", `"~/six": there is no file ~/six`},
		{"/six[x]", `"/six[x]": there is no file /six`},
		{`C:\six`, `"C:\\six": there is no file C:\six`},
		{"six-1.0.tar.gz", `"six-1.0.tar.gz": there is no file six-1.0.tar.gz`},
		{"file:///six", `"file:///six": there is no file /six`},
		{"./sub/x.tar.bz2", `"./sub/x.tar.bz2": this is no wheel, and no archive of sources (.tar.gz, .tgz or .zip)`},
		{"six-1.0-py3-none-any.whl", `"six-1.0-py3-none-any.whl": there is no file six-1.0-py3-none-any.whl`},
		{"six @ file:///six-1.0-py3-none-any.whl", `"six @ file:///six-1.0-py3-none-any.whl": there is no file /six-1.0-py3-none-any.whl`},
		{"sub/bad.whl", `"sub/bad.whl": bad.whl is no name of a wheel (PEP 427)`},
		{"https://example.com/six.whl", `"https://example.com/six.whl": six.whl is no name of a wheel (PEP 427)`},
		{"git+https://example.com/six", `"git+https://example.com/six": nothing says what package this is`},
		{"six @ git+ftp://u:secret@example.com/six@main", `"six @ git+ftp://****@main": git is asked by https, http, ssh and file URLs only`},
		{"six @ git+https:///six", `"six @ git+https:///six": the URL has no host`},
		{"six @ git+https://example.com/", `"six @ git+https://example.com/": the URL names no repository`},
		{"six @ hg+https://example.com/six", `"six @ hg+https://example.com/six": only repositories of git are supported`},
		{"six @ https://example.com/six-1.0.zip#sha256=" + sumA + "&subdirectory=x", `"six @ https://example.com/six-1.0.zip#sha256=` + sumA + `&subdirectory=x": a part of an archive can't be built`},
		{"six @ ftp://example.com/six.whl", `"six @ ftp://example.com/six.whl": only http, https and file URLs are supported`},
		{"six @ foo", `"six @ foo": what follows the @ is not a URL`},
		{"six @", `"six @": what follows the @ is not a URL`},
		{"six @ https:///six.whl", `"six @ https:///six.whl": the URL has no host`},
		{"six @ https://u:se cret@example.com/six.whl", `"six @ https://****@example.com/six.whl": a URL has no spaces`},
		{"six @ https://u:se/cret@example.com/six.whl", `"six @ https://****@example.com/six.whl": what follows the @ is not a URL`},
		{"six @ https://u:se#cret@example.com/six.whl", `"six @ https://****@example.com/six.whl": what follows the @ is not a URL`},
		{"six @ https://example.com/six.zip?sig=secret", `"six @ https://example.com/six.zip?****": sources are built only if their sha256 is known`},
		{"six @ https://example.com/six-1.0.tar.gz", `"six @ https://example.com/six-1.0.tar.gz": sources are built only if their sha256 is known`},
		{"six @ https://example.com/six-1.0.exe", `"six @ https://example.com/six-1.0.exe": this is no wheel, and no archive of sources (.tar.gz, .tgz or .zip)`},
		{"https://example.com/main.zip#sha256=" + sumA, `"https://example.com/main.zip#sha256=` + sumA + `": nothing says of which package these sources are`},
		{"six @ https://example.com/six-1.0.zip --hash=sha256:" + sumA + " --hash=sha256:" + sumB, `"six @ https://example.com/six-1.0.zip --hash=sha256:` + sumA + ` --hash=sha256:` + sumB + `": there are several sha256 for one file`},
		{"six==${UNSET}", `"six==${UNSET}": the variable UNSET is not set`},
		{"six @ https://u:${TOKEN}@h/six.whl", `"six @ https://****@h/six.whl": what follows the @ is not a URL`},
		{"six==\\ ", `"six==\\": blanks follow the ` + "`\\` that should continue the line"},
		{"!six", `"!six": this is not a requirement`},
		{"six\xff", `"six` + "\ufffd" + `": this is not text`},
		{"six\x00", `"six\x00": this is not text`},
		{strings.Repeat("x", 1<<20), `"…": the line is longer than 1 MiB or the file longer than 100000 lines`},
		{strings.Repeat("xx\\\n", 1<<19), `"…": the line is longer than 1 MiB or the file longer than 100000 lines`},
	}
	for _, tt := range tests {
		_, err := read("r.txt", map[string]string{
			"r.txt": "numpy\n# no\n" + tt.in + "\npandas\n", "loop.txt": "-r r.txt", "sub/dir/x": "", "sub/bad.txt": "\n!a", "sub/bad.whl": "", "sub/x.tar.bz2": "",
			"nameless/setup.py": "",
		})
		var re *reqfile.Error
		if !errors.As(err, &re) {
			t.Errorf("reading %.40q: %v, want a *reqfile.Error", tt.in, err)
			continue
		}
		want := tt.want
		if strings.HasPrefix(want, `"`) {
			want = "r.txt:3: " + want
		}
		if diff := cmp.Diff(want, err.Error()); diff != "" {
			t.Errorf("reading %.40q (-want +got):\n%s", tt.in, diff)
		}
		if re.Hint() == "" {
			t.Errorf("reading %.40q gives no hint", tt.in)
		}
		if strings.Contains(err.Error()+re.Hint(), "cret") {
			t.Errorf("reading %.40q tells the password: %v, %s", tt.in, err, re.Hint())
		}
	}
}

// Files that can't be read are told from those that say something wrong.
func TestReadErrors(t *testing.T) {
	broken := errors.New("broken")
	r := reqfile.Reader{Open: func(string) (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(broken)), nil }}
	if _, err := r.File("r.txt", "/r.txt"); !errors.Is(err, broken) {
		t.Errorf("File of a broken reader: %v, want %v", err, broken)
	}
	if _, err := read("none.txt", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("File of none: %v, want %v", err, fs.ErrNotExist)
	}
	if _, err := read("dir", map[string]string{"dir/x": ""}); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("File of a directory: %v, want %v", err, syscall.EISDIR)
	}
}

// A list is read like a file: an item is a line, or several of the same number.
func TestList(t *testing.T) {
	r := reqfile.Reader{Open: files(map[string]string{"more.txt": "b"}), Dir: "/app"}
	g, err := r.List("requirements", []string{"a # x", "", "-r more.txt\nc\r\nd"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"requirements:1 a", "more.txt:1 b", "requirements:3 c", "requirements:3 d"}, texts(g.Lines)); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{
		"numpy>=2 # x\n", "a\\\n b\n", "a --hash=sha256:" + sumA, "x @ https://u@h/x.whl", "-e .", "git+ssh://x", "\ufeff\r\n", "a ; b == '#'",
		"a\u00a0#b", "~", "@", "--hash", "x[", "x @ ;", "a ==\\ \n", "a\\", "-i https://h", "https://h/a-1-py3-none-any.whl[x] ; y", "-r 'x", "${VERSION}",
		"a[b]@https://h/a-1-py3-none-any.whl#sha256=" + sumA,
	} {
		f.Add(s)
	}
	r := reqfile.Reader{Lookup: lookup}
	f.Fuzz(func(t *testing.T, in string) {
		g, err := r.Text("r.txt", strings.NewReader(in))
		if err != nil {
			var re *reqfile.Error
			if !errors.As(err, &re) {
				t.Fatalf("Text(%q): %v, want a *reqfile.Error", in, err)
			}
			return
		}
		last := 0
		for _, l := range g.Lines {
			if l.Number <= last || l.Text == "" || l.Name == "" || strings.ContainsAny(l.Text, "\n\r") {
				t.Fatalf("Text(%q) has the line %+v after %d", in, l, last)
			}
			last = l.Number
			again, err := r.Text("r.txt", strings.NewReader(l.Text))
			if err != nil || len(again.Lines) != 1 || again.Lines[0].Text != l.Text {
				t.Fatalf("Text(%q) gives %q, which read again is %+v, %v", in, l.Text, again.Lines, err)
			}
		}
	})
}

func ExampleReader_Text() {
	g, err := reqfile.Reader{}.Text("requirements.txt", strings.NewReader("numpy>=2  # arrays\n\nrequests[socks] \\\n  >=2.31\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range g.Lines {
		fmt.Printf("%s:%d: %s\n", l.Source, l.Number, l.Text)
	}
	// Output:
	// requirements.txt:1: numpy>=2
	// requirements.txt:3: requests[socks] >=2.31
}
