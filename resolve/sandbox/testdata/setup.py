# SPDX-License-Identifier: Apache-2.0
"""A setup.py that does what no setup.py should: it tries to get at the machine that builds it."""

import ctypes
import glob
import json
import os
import signal
import socket
import sys

target = json.loads(os.environ["TARGET"])
libc = ctypes.CDLL(None, use_errno=True)


def call(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "denied")


def talk(family, kind, address):
    with socket.socket(family, kind) as s:
        s.settimeout(2)
        s.connect(address)
        s.send(b"ping")
        assert s.recv(4)


def loopback(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


def see():
    for name in glob.glob("/proc/[0-9]*/cmdline"):
        with open(name, "rb") as f:
            if f.read().endswith(target["Mark"].encode() + b"\0"):
                return
    raise LookupError("no such process")


def read(name):
    with open(name, "rb") as f:
        assert f.read(1)


def home():
    names = [n for pattern in ("/root/.ssh/*", "/home/*/.ssh/*", "/home/*", "/root/.*") for n in glob.glob(pattern)]
    assert names


def write(name):
    with open(name, "w"):
        pass


tries = {
    "read a file of the host": lambda: read(target["Dir"] + "/secret"),
    "read the passwords": lambda: read("/etc/shadow"),
    "look at homes": home,
    "find the agent's socket": lambda: os.environ["SSH_AUTH_SOCK"],
    "find docker's socket": lambda: [os.stat("/run/docker.sock"), os.stat("/var/run/docker.sock")],
    "write a file of the host": lambda: write(target["Dir"] + "/written"),
    "connect to the host": lambda: talk(socket.AF_INET, socket.SOCK_STREAM, loopback(target["TCP"])),
    "send to the host": lambda: talk(socket.AF_INET, socket.SOCK_DGRAM, loopback(target["UDP"])),
    "connect to a socket of the host": lambda: talk(socket.AF_UNIX, socket.SOCK_STREAM, target["Unix"]),
    "connect to an abstract socket": lambda: talk(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + target["Abstract"][1:]),
    "reach the internet": lambda: talk(socket.AF_INET, socket.SOCK_STREAM, ("1.1.1.1", 53)),
    "resolve a name": lambda: socket.getaddrinfo("example.org", 443),
    "see a process of the host": see,
    "signal its parent": lambda: os.kill(1, signal.SIGKILL) or os.stat("/proc/1/root" + target["Dir"]),
    "trace": lambda: call(libc.ptrace(0, 0, 0, 0)),
    "mount": lambda: call(libc.mount(b"tmpfs", b"/mnt", b"tmpfs", 0, None)),
    "make a user namespace": lambda: call(libc.unshare(0x10000000)),
    "write to the program of the first process": lambda: write("/proc/1/exe"),
    "change the kernel": lambda: write("/proc/sys/kernel/core_pattern"),
}
for name, attempt in tries.items():
    try:
        attempt()
        print("escaped:", name)
    except Exception as e:
        print("held:", name, "-", e)
sys.stdout.flush()

if "plain" not in sys.argv:
    if os.fork() == 0:  # survive
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, ["sleep", "-c", "import time; time.sleep(3600)", "survivor" + target["Dir"]])
        os._exit(0)
    children = 0
    try:
        while children < 5000:  # a fork bomb
            if os.fork() == 0:
                signal.pause()
            children += 1
        print("escaped: by", children, "processes")
    except OSError as e:
        print("held: a fork bomb -", e)
    sys.stdout.flush()
    block = b"x" * (1 << 20)
    for i in range(4000):  # and fill the disk
        with open("/fill%d" % i, "wb") as f:
            f.write(block)
    print("escaped: 4 GB are written")
