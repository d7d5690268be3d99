#!/usr/bin/env bash
# The tests in an environment without PETSc, .venv-without-petsc, made on first use: serially, and on two ranks what the
# solver of NumPy and mpi4py does there.  What needs PETSc skips and says so.  Arguments are pytest's.
#
# mpi4py comes from PyPI and finds the MPI of this machine (Debian: openmpi-bin) when it is imported; without one
# EXTRAS=mpi,jax,plot,fem,dev brings it.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=$PWD/.venv-without-petsc
if ! "$VENV/bin/python" -c 'import dfpde, mpi4py.MPI, pytest' 2>/dev/null; then
    "${PYTHON:-python3}" -m venv --clear "$VENV"
    "$VENV/bin/python" -m pip install -q --disable-pip-version-check -e ".[${EXTRAS:-jax,plot,fem,dev}]"
fi
if "$VENV/bin/python" -c 'import petsc4py' 2>/dev/null; then
    echo "petsc4py is installed in $VENV: remove that folder, and run this with a python3 that has no PETSc" >&2
    exit 1
fi
"$VENV/bin/python" -m pytest -rs "$@"
[ $# -gt 0 ] || "$VENV/bin/python" -m dfpde mpirun -n 2 -- -m pytest -p no:cacheprovider -rs \
    tests/leastsquares tests/evolution tests/regularization tests/test_fitting.py tests/test_solving.py
