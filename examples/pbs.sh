#!/usr/bin/env bash
#PBS -N dfpde
#PBS -l select=2:ncpus=32:mpiprocs=32
#PBS -l walltime=04:00:00
#PBS -j oe
# A dfpde run on many ranks under PBS.  The run itself stops 5 minutes before the time limit (PBS sends no early signal), keeps its
# state and leaves with code 75; the script then submits itself again and the run goes on bit for bit.
#
#   qsub -v CASE=cases/rabi.toml,DIRECTORY=out/rabi examples/pbs.sh
set -uo pipefail
cd "${PBS_O_WORKDIR:?this is a job script: qsub -v CASE=...,DIRECTORY=... examples/pbs.sh}" || exit 2
: "${CASE:?qsub -v CASE=case.toml,DIRECTORY=out/name}" "${DIRECTORY:?qsub -v CASE=case.toml,DIRECTORY=out/name}"

# module load openmpi petsc4py                 # or what your machine calls them
# shellcheck source=/dev/null
source "${DFPDE_ENVIRONMENT:-.venv}/bin/activate"
export OMP_NUM_THREADS=1

limit=$((4 * 3600 - 300))
# SIGUSR1 to the launcher reaches the ranks of Open MPI and MPICH
timeout --signal=USR1 "$limit" mpirun python -m dfpde run "$CASE" --directory "$DIRECTORY"
code=$?
# 124: `timeout` has sent the signal, and the launcher has ended since
if [ "$code" -eq 75 ] || [ "$code" -eq 124 ]; then
    qsub -v "CASE=$CASE,DIRECTORY=$DIRECTORY" "${DFPDE_SCRIPT:-examples/pbs.sh}"
fi
exit "$code"
