// SPDX-License-Identifier: Apache-2.0

package yamlfile_test

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"inlay/resolve/yamlfile"
)

type shelf struct {
	Books []book `yaml:"books"`
	Wide  bool   `yaml:"wide"`
}

type book struct {
	Title string `yaml:"title"`
}

var form = yamlfile.Form{MiB: 1, Fix: "ask a librarian", Fields: map[string][]string{"shelf": {"books", "wide"}, "book": {"title"}}}

func decode(text string) (shelf, error) {
	var s shelf
	b, _, err := form.Document("a.yaml", strings.NewReader(text))
	if err == nil {
		err = form.Decode("a.yaml", b, &s)
	}
	return s, err
}

// TestErrors holds that what isn't of the form is told with file, line and what
// to write.
func TestErrors(t *testing.T) {
	for text, want := range map[string][2]string{
		"":                                {"a.yaml: it is empty", "ask a librarian"},
		"# nothing\n":                     {"a.yaml: it is empty", "ask a librarian"},
		"books: []\n---\nwide: true\n":    {"a.yaml:2: a second document begins", "ask a librarian"},
		"bocks: []\n":                     {`a.yaml:1: unknown field "bocks"`, "did you mean `books`?"},
		"\nbooks: [{author: x}]\n":        {`a.yaml:2: unknown field "author"`, "write one of the fields there are here: title"},
		"books: {}\n":                     {"a.yaml:1: a value of another kind is wanted", "write a list here"},
		"books: [x]\n":                    {"a.yaml:1: a value of another kind is wanted", "write a mapping here"},
		"wide: 5\n":                       {"a.yaml:1: a value of another kind is wanted", "write true or false here"},
		"books: [{title: []}]\n":          {"a.yaml:1: a value of another kind is wanted", "write a text here"},
		"a: [\n":                          {"a.yaml:1: did not find expected node content", "ask a librarian"},
		strings.Repeat("# much\n", 1<<18): {"a.yaml: it is longer than 1 MiB", "ask a librarian"},
	} {
		_, err := decode(text)
		var e *yamlfile.Error
		if !errors.As(err, &e) || e.Error() != want[0] || e.Hint() != want[1] {
			t.Errorf("decode(%.40q) = %v, %+v, want %q", text, err, e, want)
		}
	}
	if s, err := decode("books: [{title: a}]\nwide: true\n"); err != nil || len(s.Books) != 1 || !s.Wide {
		t.Errorf("decode = %+v, %v", s, err)
	}
	broken := errors.New("broken")
	if _, _, err := form.Document("a.yaml", iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a file that can't be read gives %v", err)
	}
}

// TestExpand holds the rules of ${NAME}: no default, no escape.
func TestExpand(t *testing.T) {
	unset := errors.New("unset")
	value := func(name string) (string, error) {
		v, ok := map[string]string{"A": "1", "EMPTY": "", "B": "${A}"}[name]
		if !ok {
			return "", unset
		}
		return v, nil
	}
	for text, want := range map[string]string{
		"": "", "plain $A {A}": "plain $A {A}", "${A}": "1", "x${A}y${A}": "x1y1", "${EMPTY}": "", "$${A}": "$1", "${A:-b}": "${A:-b}", "${B}": "${A}",
	} {
		if got, err := yamlfile.Expand(text, value); got != want || err != nil {
			t.Errorf("Expand(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	if got, err := yamlfile.Expand("${A}${LOST}", value); got != "" || !errors.Is(err, unset) {
		t.Errorf("Expand = %q, %v, want its error alone", got, err)
	}
}
