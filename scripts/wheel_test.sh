#!/usr/bin/env bash
# The package as users of pip get it: builds sdist and wheel, installs the wheel with an MPI from PyPI, without PETSc, in a fresh
# environment outside the checkout, and runs the README's first example and a case file there, on one process and on two ranks.
#
#   scripts/wheel_test.sh [PYTHON...]        default: $PYTHON, else python3; any of 3.11 to 3.13
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH
export OMP_NUM_THREADS=1

say() { printf '[wheel] %s\n' "$*"; }

build() { # sdist, and the wheel from the sdist; from a copy without what earlier builds left
    "$1" -m venv "$work/build"
    "$work/build/bin/pip" install --quiet --disable-pip-version-check build
    git ls-files -z | xargs -0 cp --parents -t "$work/source" 2>/dev/null
    "$work/build/bin/python" -m build --outdir "$root/dist" "$work/source" >"$work/log" 2>&1 || { tail -n 20 "$work/log"; exit 1; }
}

try() { # python
    local python=$work/env/bin/python
    rm -rf "$work/env"
    "$1" -m venv "$work/env"
    "$work/env/bin/pip" install --quiet --disable-pip-version-check "${wheel}[mpi,plot]"
    mkdir -p "$work/here"
    cd "$work/here"
    "$python" -c 'import sys, numpy, scipy, dfpde; print("[wheel] Python", sys.version.split()[0], "NumPy", numpy.__version__, "SciPy",
        scipy.__version__, "dfpde", dfpde.__version__, "from", dfpde.__file__)'
    "$work/env/bin/dfpde" info
    timed "$python" first.py
    timed "$work/env/bin/dfpde" mpirun -n 2 first.py
    timed "$work/env/bin/dfpde" run burgers.toml --directory one
    timed "$work/env/bin/dfpde" run burgers.toml --directory two -n 2
    cd "$root"
}

timed() {
    local began=$SECONDS
    "$@" >"$work/out" 2>&1 || { cat "$work/out"; say "FAILED: ${*##*/}"; exit 1; }
    tail -n 1 "$work/out"
    say "$((SECONDS - began)) s: ${*##*/}"
}

mkdir -p "$work/source" "$work/here" dist
pythons=("$@")
[ ${#pythons[@]} -gt 0 ] || pythons=("${PYTHON:-python3}")
build "${pythons[0]}"
wheel=$(find dist -name '*.whl' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)
wheel=$root/$wheel
cp cases/burgers.toml "$work/here"
# shellcheck disable=SC2016
sed -n '/^```python$/,/^```$/p' README.md | sed '1d; /^```$/,$d' >"$work/here/first.py"
for python in "${pythons[@]}"; do try "$python"; done
say "all of it ran; $(basename "$wheel") and the sdist are in dist/"
