# Compiles modules as importlib does, and as "unchecked-hash" (PEP 552).
#
# It reads lists of modules, each a number and as many pairs of a file name and a
# source, until a number is 0. It writes the tag of this Python's bytecode, and
# what a file of bytecode holds for each module: nothing if it can't be compiled.
# A text is a length in 8 bytes, and the bytes.
#
# Some bytes depend on what the process compiled before. So each list has a
# process of its own, and nothing is imported that isn't part of the interpreter.
import sys, marshal, _imp
from _frozen_importlib_external import MAGIC_NUMBER
from posix import fork, waitpid, _exit

stdin, stdout = sys.stdin.buffer, sys.stdout.buffer


def number():
    return int.from_bytes(stdin.read(8), "big")


def take():
    return stdin.read(number())


def give(text):
    stdout.write(len(text).to_bytes(8, "big") + text)


def compiled(name, source):
    try:
        code = compile(source, name, "exec", dont_inherit=True)
    except Exception:
        return b""
    key = getattr(_imp, "pyc_magic_number_token", int.from_bytes(MAGIC_NUMBER, "little"))
    return MAGIC_NUMBER + b"\1\0\0\0" + _imp.source_hash(key, source) + marshal.dumps(code)


give(sys.implementation.cache_tag.encode())
n = number()
while n:
    modules = [(take().decode(), take()) for _ in range(n)]
    stdout.flush()
    child = fork()
    if not child:
        for module in modules:
            give(compiled(*module))
        stdout.flush()
        _exit(0)
    if waitpid(child, 0)[1]:
        sys.exit("compiling %s and what is beside it failed" % modules[0][0])
    n = number()
