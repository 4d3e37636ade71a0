# SPDX-License-Identifier: Apache-2.0

"""Runs pip as if it were the pip of a parent image.

usage: target.py TARGET.json PIP-ARGUMENT...

Markers, wheel tags, the version of Python and the installed packages are those
of TARGET.json. pip promises none of the interfaces that are replaced here: the
versions of pip that this was tested with are named in pipfind.go. Where pip
would build something, which is to run code of a package, it ends: exit code 86.
"""

import json
import os
import sys

with open(sys.argv[1], encoding="utf-8") as f:
    target = json.load(f)
sys.argv = ["pip"] + sys.argv[2:]
if target["pip"]:  # a wheel, which Python imports from as it is
    sys.path.insert(0, target["pip"])
os.environ["_PIP_USE_IMPORTLIB_METADATA"] = "1"  # as from Python 3.11

from pip._vendor.packaging import markers, tags

markers.default_environment = lambda: dict(target["markers"])

import pip._internal.utils.compatibility_tags as compatibility

version = tuple(target["version"])
supported = [tag for text in target["tags"] for tag in tags.parse_tag(text)]
compatibility.get_supported = lambda *args, **kwargs: list(supported)

from pip._internal.metadata import select_backend

environment = select_backend().Environment
environment.default = classmethod(lambda cls: cls.from_paths(target["libs"]))

from pip._internal.models.target_python import TargetPython

target_init = TargetPython.__init__


def init_target(self, *args, **kwargs):
    target_init(self, py_version_info=version)


TargetPython.__init__ = init_target
TargetPython.get_sorted_tags = lambda self: list(supported)
TargetPython.get_unsorted_tags = lambda self, tags=frozenset(supported): tags

from pip._internal.resolution.resolvelib import candidates, factory

candidate_init = candidates.RequiresPythonCandidate.__init__
candidates.RequiresPythonCandidate.__init__ = lambda self, *args, **kwargs: candidate_init(self, version)
factory.get_supported = compatibility.get_supported

from pip._internal.distributions.sdist import SourceDistribution


def refuse(self, *args, **kwargs):
    with open(target["builds"], "w", encoding="utf-8") as f:
        link = self.req.link
        told = {"name": self.req.name or "", "file": link.filename, "url": link.url_without_fragment}
        told["sha256"] = link.hash if link.hash_name == "sha256" else ""
        json.dump(told, f)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(86)


SourceDistribution.prepare_distribution_metadata = refuse

from pip._internal.index import collector

fail = collector._handle_get_simple_fail


def failed(link, reason, *args, **kwargs):  # pip goes on without the page, and says so only when asked to be verbose
    if "404 Client Error" not in str(reason):
        print("UNREACHED: %s: %s" % (link.redacted_url if hasattr(link, "redacted_url") else link, reason), file=sys.stderr)
    fail(link, reason, *args, **kwargs)


collector._handle_get_simple_fail = failed

from pip._internal.models.link import Link

sizes = {}  # of files, by URL: the index tells them, pip doesn't
link_from_json = Link.from_json.__func__


def sized(cls, data, *args, **kwargs):
    link = link_from_json(cls, data, *args, **kwargs)
    if link is not None and isinstance(data.get("size"), int):
        sizes[link.url_without_fragment] = data["size"]
    return link


Link.from_json = classmethod(sized)

from pip._internal.cli.main import main

status = main()
if status == 0:
    with open(target["report"], encoding="utf-8") as f:
        report = json.load(f)
    for item in report["install"]:
        item["size"] = sizes.get(item["download_info"]["url"], 0)
    with open(target["report"], "w", encoding="utf-8") as f:
        json.dump(report, f)
sys.exit(status)
