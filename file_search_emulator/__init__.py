"""The Gemini File Search API over an embedded index. Depends on nothing else of this project."""

import os

# Read when numpy loads, so set before any module here can load it: with two threads, BLAS takes 20 times as long for
# products as small as ours.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
