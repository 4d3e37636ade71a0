// SPDX-License-Identifier: Apache-2.0

package sdist

import (
	"context"
	"io"

	"inlay/resolve/python"
	"inlay/resolve/sandbox"
)

// unpackedDir is where sources are unpacked. uv does that in a directory of its
// own whose name is another each time, and compilers write the name into what
// they make.
const unpackedDir = workDir + "/source"

// unpackSource unpacks sources as pip does: owners in the archive are nobody's,
// and the only directory that there is at the top is the project.
const unpackSource = `import os, shutil, sys, tarfile, zipfile
archive, to = sys.argv[1:]
tarfile.TarFile.chown = lambda *_: None
part = to + ".part"
if archive.endswith(".zip"):
    with zipfile.ZipFile(archive) as z:
        for i in z.infolist():
            made = z.extract(i, part)
            if i.external_attr >> 16 & 0o111 and not i.is_dir():
                os.chmod(made, 0o755)
else:
    safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    shutil.unpack_archive(archive, part, **safe)
names = os.listdir(part)
if len(names) != 1:
    sys.exit("%d files are at the top" % len(names))
os.rename(os.path.join(part, names[0]), to)
`

// unpack has the sources unpacked in the root of c, which builds them, and then
// c builds them there. What Python can't unpack is left to uv, which says what is
// wrong with it if it can't either.
func unpack(ctx context.Context, box Sandbox, x python.Build, c *sandbox.Command) error {
	u := *c
	u.Path, u.Args = x.Inventory.Python.Interpreter, []string{"-I", "-c", unpackSource, sourceDir + "/" + x.File, unpackedDir}
	u.Ports, u.Stdout, u.Stderr = nil, io.Discard, io.Discard
	r, err := box.Run(ctx, u)
	if err != nil {
		return foreign(x.Inventory, err)
	}
	if r.Exit == 0 {
		c.Args[len(c.Args)-1] = unpackedDir
	}
	return nil
}
