"""Raw faces in, ranked, honestly evaluated emotion models out: one module per step, in the order the data flows.

draw -> clean -> resize -> train -> evaluate -> rank
"""

import os

# TensorFlow reads this while it is imported, before any line of ours could set it; 2 leaves warnings out, not errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
