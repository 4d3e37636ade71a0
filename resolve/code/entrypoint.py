"""Fetch the source of a container, then run its command in place of this program.

inlay puts this file into images that don't hold their source. It needs Python 3.6 or later and nothing else; stores other
than file: and https: are read with fsspec and what it knows them by (s3fs, gcsfs, adlfs), which the stack's integrations install.

INLAY_CODE says where the source is; `inlay build` prints it:
  file:///DIR/code_uploads/NAME.tar.gz#sha256=HEX  (or https://, s3://, gs://, az://)
  git+https://HOST/PATH.git@COMMIT#subdirectory=DIR
INLAY_CODE_TOKEN, with INLAY_CODE_USER, is the login for https, where that takes one. Clouds use logins of their own.
"""

import base64
import hashlib
import os
import signal
import stat
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib

TARGET = sys.argv[1]
COMMAND = sys.argv[2:]
TRIES = 3
CHUNK = 1 << 20


class Problem(Exception):
    """What keeps the source from being fetched, with what to do about it."""


def main():
    # As process 1 this program would not end by a signal that it doesn't handle.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    where = os.environ.get("INLAY_CODE", "")
    if not where:
        raise Problem("INLAY_CODE doesn't say where the source is: set it to what `inlay build` printed, or run with another entrypoint")
    if not COMMAND:
        raise Problem("there is no command to run: give one, or set `cmd` when the image is built")
    url, _, fragment = where.partition("#")
    options = dict(urllib.parse.parse_qsl(fragment))
    if url.startswith("git+"):
        repository, _, commit = url[len("git+"):].rpartition("@")
        files = commit_files(repository, commit, options.get("subdirectory", ""))
    else:
        files = archive_files(url, options.get("sha256", ""))
    unpack(files)
    for number in (signal.SIGTERM, signal.SIGPIPE, getattr(signal, "SIGXFSZ", None)):
        if number is not None:
            signal.signal(number, signal.SIG_DFL)  # Python ignores some, and programs would inherit that
    try:
        with open("/proc/self/environ", "rb") as f:
            if b"\0LC_CTYPE=" not in b"\0" + f.read():
                os.environ.pop("LC_CTYPE", None)  # Python sets it where nothing says a locale
    except OSError:
        pass
    try:
        os.execvp(COMMAND[0], COMMAND)
    except OSError as e:
        print("inlay: {}: {}".format(COMMAND[0], e.strerror), file=sys.stderr, flush=True)
        os._exit(127 if isinstance(e, FileNotFoundError) else 126)


# --- where files go ---------------------------------------------------------------------------------------------------


def unpack(files):
    """Write (path, mode, content) below TARGET, where content is a link's target or pieces of a file, and nowhere else."""
    root = os.path.realpath(os.fsencode(TARGET))
    for path, mode, content in files:
        parts = path.split("/")
        if any(p in ("", ".", "..", ".git") for p in parts) or "\0" in path:
            raise Problem("{!r} is no path for a file of a source".format(path))
        directory = root
        for p in parts[:-1]:
            directory = os.path.join(directory, encoded(p))
            made = lstat(directory)
            if made is not None and not stat.S_ISDIR(made.st_mode):
                os.unlink(directory)  # of an earlier source, or a link that leads elsewhere
                made = None
            if made is None:
                os.mkdir(directory)
        name = os.path.join(directory, encoded(parts[-1]))
        before = lstat(name)
        if before is not None and stat.S_ISDIR(before.st_mode):
            raise Problem("{!r} is a directory: start with an empty {}".format(path, TARGET))
        if before is not None:
            os.unlink(name)
        if stat.S_ISLNK(mode):
            os.symlink(encoded(content), name)
            continue
        with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            for piece in content:
                out.write(piece)
        os.chmod(name, 0o755 if mode & 0o100 else 0o644)


def encoded(name):
    """Names of files are UTF-8, whatever the container's locale is."""
    return name.encode("utf-8", "surrogateescape")


def lstat(name):
    try:
        return os.lstat(name)
    except FileNotFoundError:
        return None


# --- archives ---------------------------------------------------------------------------------------------------------


def archive_files(url, want):
    if len(want) != 64:
        raise Problem("INLAY_CODE has no #sha256=... of what it names: set it to what `inlay build` printed")
    with tempfile.TemporaryFile() as f:
        retried(lambda: download(url, f))
        f.seek(0)
        got = hashlib.sha256()
        for piece in pieces(f):
            got.update(piece)
        if got.hexdigest() != want:
            raise Problem("{} is not what was uploaded: its sha256 is {}".format(url, got.hexdigest()))
        f.seek(0)
        with tarfile.open(fileobj=f, mode="r|gz", encoding="utf-8") as tar:
            for member in tar:
                if member.isdir():
                    continue
                if member.issym():
                    yield member.name, stat.S_IFLNK, member.linkname
                elif member.isreg():
                    yield member.name, member.mode, pieces(tar.extractfile(member))
                else:
                    raise Problem("{!r} is neither a file nor a link".format(member.name))


def pieces(f):
    return iter(lambda: f.read(CHUNK), b"")


def download(url, f):
    f.seek(0)
    f.truncate()
    with source(url) as src:
        for piece in pieces(src):
            f.write(piece)


def source(url):
    scheme, _, path = url.partition("://")
    if scheme == "file":
        try:
            return open(urllib.parse.unquote(path), "rb")
        except OSError as e:
            raise Problem("{}: {}: mount the store at {}, or name another place in INLAY_CODE".format(url, e.strerror, os.path.dirname(path)))
    if scheme in ("https", "http"):
        return opened(url)
    try:
        import fsspec

        return fsspec.open(url, "rb").open()
    except ImportError as e:
        raise Problem("{}: {}: install the integration of the store, or name an https:// URL in INLAY_CODE".format(url, e))


def opened(url, data=None, **headers):
    """Open a URL of the web, with the login if that can't be overheard. It stays with the host that it is for."""
    request = urllib.request.Request(url, data=data, headers={k.replace("_", "-"): v for k, v in headers.items()})
    host = urllib.parse.urlsplit(url).hostname
    token = os.environ.get("INLAY_CODE_TOKEN")
    if token and (url.startswith("https:") or host in ("localhost", "127.0.0.1", "::1")):
        login = os.environ.get("INLAY_CODE_USER", "x-access-token") + ":" + token
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    return urllib.request.urlopen(request, timeout=60)


def retried(do):
    """Try again what fails for reasons that pass."""
    for left in range(TRIES - 1, -1, -1):
        try:
            return do()
        except urllib.error.HTTPError as e:
            if e.code in (401, 403, 404):
                raise Problem("{}: {} {}: check INLAY_CODE, and set INLAY_CODE_TOKEN where it needs a login".format(e.url, e.code, e.reason))
            if not left or e.code < 500 and e.code != 429:
                raise Problem("{}: {} {}".format(e.url, e.code, e.reason))
        except Problem:
            raise
        except Exception as e:  # whatever a library of a store raises
            if not left:
                raise Problem("{}: {}".format(type(e).__name__, e))
        time.sleep(TRIES - left)


# --- git, over HTTP, as its protocol version 2 has it -------------------------------------------------------------------


def commit_files(repository, commit, subdirectory):
    """Yield the files of a commit. What a server sends is checked: every object is called by its own hash."""
    if len(commit) not in (40, 64) or not all(c in "0123456789abcdef" for c in commit):
        raise Problem("{!r} is no full name of a commit: set INLAY_CODE to what `inlay build` printed".format(commit))
    objects = retried(lambda: read_pack(fetch_pack(repository, commit), len(commit)))

    def get(name, kind):
        if objects.get(name, ("",))[0] != kind:
            raise Problem("{} sends no {} {}".format(repository, kind, name))
        return objects[name][1]

    def entries(tree):
        data, at = get(tree, "tree"), 0
        while at < len(data):
            space, end = data.index(b" ", at), data.index(b"\0", at)
            mode, name, at = int(data[at:space], 8), data[space + 1:end], end + 1 + len(commit) // 2
            yield mode, name.decode("utf-8", "surrogateescape"), data[end + 1:at].hex()

    def files(tree, path):
        for mode, name, child in entries(tree):
            name = path + name
            if stat.S_ISDIR(mode):
                yield from files(child, name + "/")
            elif stat.S_ISLNK(mode):
                yield name, mode, get(child, "blob").decode("utf-8", "surrogateescape")
            elif stat.S_ISREG(mode):
                yield name, mode, [get(child, "blob")]
            else:
                raise Problem("{} is a submodule, which can't be fetched".format(name))

    tree = get(commit, "commit").split(b"\n", 1)[0].split(b" ")[1].decode()
    for part in filter(None, subdirectory.split("/")):
        found = [child for mode, name, child in entries(tree) if name == part and stat.S_ISDIR(mode)]
        if not found:
            raise Problem("commit {} has no directory {}".format(commit, subdirectory))
        tree = found[0]
    yield from files(tree, "")


def fetch_pack(repository, commit):
    with opened(repository + "/info/refs?service=git-upload-pack", Git_Protocol="version=2") as r:
        hello, moved = r.read(CHUNK), r.geturl().partition("/info/refs?")[0]
    if urllib.parse.urlsplit(moved).netloc != urllib.parse.urlsplit(repository).netloc:
        raise Problem("{} has moved to {}: name that in INLAY_CODE".format(repository, moved))
    if b"version 2" not in hello:
        raise Problem("{} is no git repository, or its server is older than version 2 of git's protocol".format(repository))
    words = ["command=fetch\n", "object-format={}\n".format(hash_name(len(commit))), None, "no-progress\n", "ofs-delta\n", "deepen 1\n"]
    words += ["want {}\n".format(commit), "done\n"]
    asked = "".join("0001" if w is None else "{:04x}{}".format(len(w) + 4, w) for w in words) + "0000"
    with opened(moved + "/git-upload-pack", asked.encode(), Git_Protocol="version=2", Content_Type="application/x-git-upload-pack-request") as r:
        answer = r.read()
    pack, at, inside = bytearray(), 0, False
    while at < len(answer):
        size = int(answer[at:at + 4], 16)
        line, at = answer[at + 4:at + size], at + max(size, 4)
        if line.startswith(b"ERR ") or inside and line[:1] == b"\3":
            raise Problem("{} says: {}".format(repository, line[1:].decode("utf-8", "replace").strip()))
        if inside and line[:1] == b"\1":
            pack += line[1:]
        inside = inside or line == b"packfile\n"
    return bytes(pack)


def hash_name(digits):
    return "sha1" if digits == 40 else "sha256"


def read_pack(pack, digits):
    """Return the objects of a pack, (kind, content) by name."""
    kinds = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
    if pack[:4] != b"PACK":
        raise Problem("the server sends no pack")
    todo, at = [], 12
    for _ in range(int.from_bytes(pack[8:12], "big")):
        start, kind, base = at, pack[at] >> 4 & 7, None
        while pack[at] & 0x80:  # the size, which the content has too
            at += 1
        at += 1
        if kind == 6:
            distance, at = pack[at] & 0x7F, at + 1
            while pack[at - 1] & 0x80:
                distance, at = (distance + 1) << 7 | pack[at] & 0x7F, at + 1
            base = start - distance
        elif kind == 7:
            base, at = pack[at:at + digits // 2].hex(), at + digits // 2
        inflate, content = zlib.decompressobj(), []
        while not inflate.eof and at < len(pack):
            content.append(inflate.decompress(pack[at:at + 8192]))
            at = min(at + 8192, len(pack))
        at -= len(inflate.unused_data)
        todo.append((start, kind, base, b"".join(content)))
    by_name, by_offset = {}, {}
    while todo:
        left = []
        for entry in todo:
            start, kind, base, content = entry
            if kind in kinds:
                whole = kinds[kind], content
            elif base in by_name or base in by_offset:
                of = by_name.get(base) or by_offset[base]
                whole = of[0], patched(of[1], content)
            else:
                left.append(entry)
                continue
            head = "{} {}\0".format(whole[0], len(whole[1])).encode()
            by_offset[start] = by_name[hashlib.new(hash_name(digits), head + whole[1]).hexdigest()] = whole
        if len(left) == len(todo):
            raise Problem("the server sends a pack that lacks objects")
        todo = left
    return by_name


def patched(base, delta):
    """Return what a delta makes of base."""
    at, out = 0, bytearray()
    for _ in range(2):  # the sizes before and after
        while delta[at] & 0x80:
            at += 1
        at += 1
    while at < len(delta):
        op, at = delta[at], at + 1
        if not op & 0x80:
            out += delta[at:at + op]
            at += op
            continue
        numbers = [0, 0]
        for bit in range(7):
            if op >> bit & 1:
                numbers[bit > 3] |= delta[at] << 8 * (bit - 4 if bit > 3 else bit)
                at += 1
        out += base[numbers[0]:numbers[0] + (numbers[1] or 0x10000)]
    return bytes(out)


if __name__ == "__main__":
    try:
        main()
    except Problem as e:
        sys.exit("inlay: fetching the source: {}".format(e))
    except OSError as e:
        sys.exit("inlay: fetching the source into {}: {}".format(TARGET, e))
