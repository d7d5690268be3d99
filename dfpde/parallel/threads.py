"""One BLAS thread for each rank: dfpde's parallelism is its ranks.

Its products are cut into pieces that fit a core's own cache, so more threads mostly wait for each other, and
rounding would depend on the machine.  Who sets a variable has decided otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


@contextmanager
def one_thread() -> Iterator[None]:
    """BLAS with one thread inside, unless one of `VARIABLES` is set; context manager and decorator."""
    if any(os.environ.get(name) for name in VARIABLES):
        yield
        return
    with _pools().limit(limits=1, user_api="blas"):
        yield


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()
