// SPDX-License-Identifier: Apache-2.0

package wheel_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"log"

	"inlay/assemble/wheel"
)

func Example() {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range [][2]string{
		{"hello.py", "def main():\n    print('hello')\n"},
		{"hello-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n"},
		{"hello-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"},
		{"hello-1.0.dist-info/entry_points.txt", "[console_scripts]\nhello = hello:main\n"},
		{"hello-1.0.dist-info/RECORD", ""},
	} {
		w, err := z.Create(f[0])
		if err != nil {
			log.Fatal(err)
		}
		if _, err := io.WriteString(w, f[1]); err != nil {
			log.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		log.Fatal(err)
	}

	w, err := wheel.Open(bytes.NewReader(b.Bytes()), int64(b.Len()), "hello-1.0-py3-none-any.whl", wheel.Scheme{
		Purelib: "/opt/venv/lib/python3.12/site-packages", Platlib: "/opt/venv/lib/python3.12/site-packages",
		Scripts: "/opt/venv/bin", Data: "/opt/venv", Headers: "/opt/venv/include/site/python3.12",
		Interpreter: "/opt/venv/bin/python", Version: "3.12", Installer: "inlay\n",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(w.Name, w.Version)
	for _, f := range w.Files {
		fmt.Printf("%#o %4d %s\n", f.Mode, f.Size, f.Path)
	}
	// Output:
	// hello 1.0
	// 0755  291 /opt/venv/bin/hello
	// 0644    6 /opt/venv/lib/python3.12/site-packages/hello-1.0.dist-info/INSTALLER
	// 0644   47 /opt/venv/lib/python3.12/site-packages/hello-1.0.dist-info/METADATA
	// 0644  303 /opt/venv/lib/python3.12/site-packages/hello-1.0.dist-info/RECORD
	// 0644   41 /opt/venv/lib/python3.12/site-packages/hello-1.0.dist-info/WHEEL
	// 0644   37 /opt/venv/lib/python3.12/site-packages/hello-1.0.dist-info/entry_points.txt
	// 0644   31 /opt/venv/lib/python3.12/site-packages/hello.py
}
