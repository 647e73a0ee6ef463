"""Set before anything imports triton: without a GPU, kernels run in Triton's interpreter."""

from __future__ import annotations

import os
import shutil

if shutil.which("nvidia-smi") is None:
    os.environ.setdefault("TRITON_INTERPRET", "1")
