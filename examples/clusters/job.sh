#!/usr/bin/env bash
#SBATCH --job-name=microcircuit
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
# Scheduler, client and workers in one job. Submitted again, it goes on where the last one ended:
#   for i in 1 2 3; do sbatch --dependency=singleton job.sh MS; done
# INTERFACE names the fast network; workers leave MARGIN seconds before the job ends.
set -eu
[ ! -e finished ] || exit 0
interface=${INTERFACE:-ib0}
file=scheduler-$SLURM_JOB_ID.json
end=$(squeue -h -j "$SLURM_JOB_ID" -o %e)
end=$(date -d "${end:-none}" +%s) && export DASK_DISTRIBUTED__WORKER__LIFETIME__DURATION="$((end - $(date +%s) - ${MARGIN:-120}))s"
export DASK_EVENTSNN__RECOVERY_TIMEOUT=5 # s: in this job nobody replaces a worker that left
trap 'kill $(jobs -p) 2>/dev/null || true; rm -f "$file"' EXIT

dask scheduler --scheduler-file "$file" --interface "$interface" --dashboard-address 127.0.0.1:8787 &
srun dask worker --scheduler-file "$file" --interface "$interface" --nthreads "$SLURM_CPUS_PER_TASK" --no-dashboard &
python -c 'import sys; from distributed import Client; Client(scheduler_file=sys.argv[1]).wait_for_workers(int(sys.argv[2]), 300)' \
    "$file" "$SLURM_NTASKS"
if [ -e microcircuit.zarr ]; then
    eventsnn resume microcircuit.zarr --scheduler-file "$file"
else
    python simulate.py "$file" "${1:-1000}"
fi
touch finished
