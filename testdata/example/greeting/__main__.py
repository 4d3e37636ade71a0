"""Say what is installed, and who says it."""

import os
import sys

import numpy
import requests

print(f"python {sys.version.split()[0]}, numpy {numpy.__version__}, requests {requests.__version__}")
print(f"as user {os.getuid()} in {os.getcwd()}, sum {int(numpy.arange(10).sum())}")
