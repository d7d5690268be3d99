#!/usr/bin/env bash
#SBATCH --job-name=dfpde
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=32
#SBATCH --cpus-per-task=1
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --output=%x-%j.log
# A dfpde run on many ranks under Slurm.  Five minutes before the time limit the ranks get SIGUSR1: the step is finished, its state
# kept, the program leaves with code 75, and the job is queued again and goes on bit for bit.
#
#   sbatch examples/slurm.sh cases/rabi.toml out/rabi
set -uo pipefail
case=${1:?usage: slurm.sh CASE.toml DIRECTORY}
directory=${2:?usage: slurm.sh CASE.toml DIRECTORY}

# module load openmpi petsc4py                 # or what your machine calls them
# shellcheck source=/dev/null
source "${DFPDE_ENVIRONMENT:-.venv}/bin/activate"
export OMP_NUM_THREADS=1

# in the background, so that the shell can pass the signal on: --signal=B: sends it to this script alone
srun python -m dfpde run "$case" --directory "$directory" &
job=$!
trap 'kill -USR1 "$job"' USR1
wait "$job"
code=$?
if [ "$code" -gt 128 ]; then # `wait` was interrupted by the signal: wait for the ranks themselves
    wait "$job"
    code=$?
fi
if [ "$code" -eq 75 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
