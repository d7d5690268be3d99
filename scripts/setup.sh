#!/usr/bin/env bash
# Makes .venv with everything `make demo` and `make test` need.  Run again at any time: it changes only what is missing.
#
# PETSc has no binary on PyPI, so petsc4py and mpi4py come from the machine: from the Python that has them already
# ($PYTHON, else the active python3: conda, modules, own build), else from Debian's or Ubuntu's packages.  The virtual
# environment is made on that Python and sees its packages; the rest comes from PyPI.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=$PWD/.venv
EXTRAS=jax,plot,fem,dev
DEBIAN_PACKAGES=(python3-petsc4py python3-mpi4py openmpi-bin python3-venv)
# Debian's PETSc calls the system BLAS.  Products with a dense matrix of 20 000 x 300 took it 10 ms (transposed) and the
# Gram matrix 1.8 s with the reference BLAS, 2 ms and 0.08 s with this one, which starts no threads.
DEBIAN_BLAS=libopenblas0-serial
IMPORTS='import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"
from mpi4py import MPI; from petsc4py import PETSc'

say() { printf '[set-up] %s\n' "$*"; }
stop() { # what happened; what to do
    printf '\n[set-up] CANNOT GO ON: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '[set-up] %s\n' "${@:2}" >&2
    printf '[set-up] %s\n' 'A petsc4py and mpi4py that import in the active python3 (conda, modules, own build), or in' \
        'PYTHON=/path/to/python3 make ..., are used as they are.  docs/installation.md says how to get them, with conda' \
        'or, on any system, by building PETSc from source.' >&2
    exit 1
}

apt_install() { # packages...
    local missing=() package as_root=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || { say "Debian packages are here: $*"; return; }
    local wanted=("${missing[@]}" "$DEBIAN_BLAS")
    local by_hand="With administrator's rights: apt-get install --no-install-recommends ${wanted[*]}; then run this again."
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || stop "${missing[*]} must be installed, but this is not root and there is no sudo." "$by_hand"
        as_root=(sudo)
        [ -t 0 ] || as_root=(sudo -n) # nobody there to type a password
        "${as_root[@]}" true || stop "${missing[*]} must be installed, but sudo refuses." "$by_hand"
    fi
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
    say "apt-get install --no-install-recommends ${wanted[*]}"
    "${apt[@]}" update </dev/null >"$LOG" 2>&1 || say "apt-get update had errors; going on with the lists at hand"
    "${apt[@]}" install -y --no-install-recommends "${wanted[@]}" </dev/null >"$LOG" 2>&1 ||
        { tail -n 15 "$LOG" >&2; stop "apt-get could not install ${wanted[*]} (its last lines are above)." "$by_hand"; }
}

# Directory of Debian's petsc4py for real scalars, newest first; its path has PETSc's version and the architecture in it.
debian_petsc() {
    find /usr/lib/petscdir -path '*-real/lib/python3/dist-packages/petsc4py' -prune 2>/dev/null |
        grep -v petsc64 | sort -V | tail -n 1 | xargs -r dirname
}

choose_python() { # sets python, and directories that its site-packages do not cover
    local active
    directories=()
    if [ -n "${PYTHON:-}" ]; then
        "$PYTHON" -c "$IMPORTS" >"$LOG" 2>&1 ||
            { tail -n 5 "$LOG" >&2; stop "PYTHON=$PYTHON cannot import mpi4py and petsc4py (error above)."; }
        python=$PYTHON
    elif active=$(PATH=${PATH//"$VENV/bin:"/} command -v python3) && "$active" -c "$IMPORTS" >"$LOG" 2>&1; then
        python=$active
    else
        say 'no petsc4py in the active python3: taking the packages of Debian or Ubuntu'
        from_debian
        return
    fi
    say "using the mpi4py and petsc4py of $python"
    mapfile -t directories < <("$python" -c 'import os, mpi4py, petsc4py
for package in (mpi4py, petsc4py): print(os.path.dirname(os.path.realpath(package.__path__[0])))' | sort -u)
}

from_debian() {
    local old='import sys; sys.exit(sys.version_info >= (3, 11))'
    command -v apt-get >/dev/null || stop 'this system has no apt-get; set-up knows Debian and Ubuntu only.'
    if [ -x /usr/bin/python3 ] && /usr/bin/python3 -c "$old"; then
        stop "this system's $(/usr/bin/python3 --version) is too old: dfpde needs 3.11 (Debian 12, Ubuntu 24.04, or newer)."
    fi
    apt_install "${DEBIAN_PACKAGES[@]}"
    python=/usr/bin/python3
    ! "$python" -c "$old" || stop "this system's $("$python" --version) is too old: dfpde needs 3.11."
    "$python" -c "$IMPORTS" 2>/dev/null || mapfile -t directories < <(debian_petsc)
}

make_venv() {
    local same='import sys; print(sys.base_prefix, sys.version)'
    if [ "$("$VENV/bin/python" -c "import pip; $same" 2>/dev/null)" = "$("$python" -c "$same")" ]; then
        say '.venv is here'
    else
        say "python -m venv --system-site-packages .venv on $python"
        rm -rf "$VENV"
        "$python" -m venv --system-site-packages "$VENV" >"$LOG" 2>&1 ||
            { tail -n 5 "$LOG" >&2; stop "$python cannot make a virtual environment (error above)." \
                'On Debian and Ubuntu: apt-get install python3-venv'; }
    fi
    # what the base Python finds by PYTHONPATH, PETSC_DIR or a virtual environment of its own, .venv finds by a .pth file
    local site
    site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "${directories[@]}" >"$site/dfpde-petsc.pth"
}

# Extensions built for NumPy 2 (they run with 1 and 2) name numpy._core; those built for NumPy 1 run with 1 only.
numpy_bound() {
    "$VENV/bin/python" - <<'PYTHON'
import importlib.util, pathlib
root = pathlib.Path(importlib.util.find_spec("petsc4py").submodule_search_locations[0])
libraries = [file.read_bytes() for file in root.glob("**/PETSc*.so")]
print("numpy<2" if libraries and not any(b"numpy._core" in data for data in libraries) else "")
PYTHON
}

install_packages() {
    local bound
    bound=$(numpy_bound) || stop "petsc4py is not found from .venv (looked in: ${directories[*]:-$python})."
    printf '%s\n' "$bound" >"$VENV/constraints.txt"
    # pip in .venv reads this file by itself, so that what users add later keeps this NumPy
    printf '[install]\nconstraint = %s\n' "$VENV/constraints.txt" >"$VENV/pip.conf"
    say "pip install -e .[$EXTRAS]${bound:+ with $bound, for which this petsc4py was built}"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --prefer-binary \
        -e ".[$EXTRAS]" || stop 'pip failed (error above): is PyPI, or a mirror, reachable?'
}

LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT
choose_python
make_venv
install_packages
"$VENV/bin/python" -c "$IMPORTS" || stop 'mpi4py and petsc4py do not import in .venv (error above).'
say "done in $SECONDS s; to work in it:  . .venv/bin/activate"
