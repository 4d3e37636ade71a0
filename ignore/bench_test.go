// SPDX-License-Identifier: Apache-2.0

package ignore_test

import (
	"fmt"
	"io/fs"
	"path"
	"testing"
	"testing/fstest"

	"inlay/ignore"
)

// listFS is a file system that can only list its directories, and does that
// at no cost.
type listFS map[string][]fs.DirEntry

func (l listFS) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func (l listFS) ReadDir(name string) ([]fs.DirEntry, error) { return l[name], nil }

// hundredThousand makes a project of 100,000 files in 1,111 directories.
func hundredThousand(b *testing.B) listFS {
	b.Helper()
	l := listFS{}
	add := func(dir, name string, mode fs.FileMode) {
		infos, err := fs.ReadDir(fstest.MapFS{name: {Mode: mode}}, ".")
		if err != nil {
			b.Fatal(err)
		}
		l[dir] = append(l[dir], infos...)
	}
	endings := []string{".py", ".csv", ".txt", ".json", ".md", ".js", ".pyc", ".yaml", ".so", ""}
	for i := range 10 {
		add(".", fmt.Sprintf("package%d", i), fs.ModeDir)
		for j := range 10 {
			add(fmt.Sprintf("package%d", i), fmt.Sprintf("module%d", j), fs.ModeDir)
			for k := range 10 {
				dir := fmt.Sprintf("package%d/module%d", i, j)
				add(dir, fmt.Sprintf("part%d", k), fs.ModeDir)
				for n := range 100 {
					add(path.Join(dir, fmt.Sprintf("part%d", k)), fmt.Sprintf("file%02d%s", n, endings[n%len(endings)]), 0o644)
				}
			}
		}
	}
	return l
}

func BenchmarkFiles(b *testing.B) {
	fsys := hundredThousand(b)
	const docker = ".git\n.venv\n**/__pycache__\n**/*.pyc\n**/*.pyo\n*.md\nnode_modules\nbuild/**\ndist\n**/.DS_Store\n" +
		"**/*.egg-info\n.env*\n**/*.so[0-9]\ndocs/*/_build\npackage3/**/*.csv\n**/*.ipynb\ncoverage.xml\n**/.pytest_cache\npackage9/module[0-4]\n!package9/module3/part*/*.py\n"
	const git = ".git\n.venv/\n__pycache__/\n*.pyc\n*.pyo\n/*.md\nnode_modules/\nbuild/\ndist/\n.DS_Store\n" +
		"*.egg-info\n.env*\n*.so[0-9]\ndocs/*/_build\npackage3/**/*.csv\n*.ipynb\ncoverage.xml\n.pytest_cache/\npackage9/module[0-4]\n!package9/module3/\n"
	for _, bench := range []struct{ name, rules string }{{".dockerignore", docker}, {".gitignore", git}, {"none", ""}} {
		b.Run(bench.name, func(b *testing.B) {
			rules := parse(b, bench.name, bench.rules)
			n := 0
			for b.Loop() {
				n = 0
				for _, err := range ignore.Files(fsys, rules) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			b.ReportMetric(float64(n), "kept")
		})
	}
}
