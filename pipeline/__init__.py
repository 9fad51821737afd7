"""Raw faces in, ranked, honestly evaluated emotion models out: one module per step, in the order the data flows.

draw -> clean -> resize -> balance -> train -> evaluate -> rank -> compare -> report, and rank -> export
"""

import os
import sys

from pipeline.running import start

# TensorFlow reads this while it is imported, before any line of ours could set it. Its native log lines (3 leaves all
# out) are about drivers and instruction sets; what fails is raised as an exception all the same.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

if sys.argv[0] == "-m":  # as it is while Python still looks for the module that `python -m` is to run
    start.begin(sys.orig_argv[-len(sys.argv)].removeprefix("-m"))
