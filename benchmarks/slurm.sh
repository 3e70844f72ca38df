#!/usr/bin/env bash
# Make a SLURM of one node in a temporary folder, on loopback, run a command in it, and end it.
# usage: slurm.sh [COMMAND...]     without a command: python -m benchmarks.slurm
# Needs slurmctld, slurmd and munged (Debian, Ubuntu: apt-get install --no-install-recommends slurm-wlm munge), not systemd.
set -eu
for program in slurmctld slurmd munged scancel; do
    PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || {
        echo "slurm.sh: $program is not installed; apt-get install --no-install-recommends slurm-wlm munge brings it" >&2
        exit 69
    }
done
export PATH="$PATH:/usr/sbin"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -gt 0 ] || set -- "${PYTHON:-python}" -m benchmarks.slurm
dir=$(mktemp -d /tmp/slurm.XXXXXX)
chmod 755 "$dir"
mkdir "$dir/state" "$dir/spool" "$dir/log"
node=$(hostname -s)

# $1: a pid file; ends that daemon, at the latest after 10 s.
end() {
    [ -s "$1" ] || return 0
    local pid
    pid=$(cat "$1")
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}

finish() {
    code=$?
    trap - EXIT INT TERM
    [ -z "$child" ] || kill "$child" 2>/dev/null || true
    if [ -s "$dir/slurmctld.pid" ]; then
        timeout 10 scancel --full --signal=KILL --partition=debug 2>/dev/null || true
        for _ in $(seq 50); do
            [ -n "$(timeout 5 squeue -h 2>/dev/null)" ] || break
            sleep 0.2
        done
    fi
    end "$dir/slurmd.pid"
    end "$dir/slurmctld.pid"
    end "$dir/munged.pid"
    [ "$code" -eq 0 ] || tail -n 5 "$dir"/log/slurm*.log >&2
    rm -rf "$dir"
    exit "$code"
}
child=
trap finish EXIT
trap 'exit 130' INT TERM

head -c 128 /dev/urandom >"$dir/munge.key"
chmod 600 "$dir/munge.key"
munged --socket="$dir/munge.sock" --key-file="$dir/munge.key" --pid-file="$dir/munged.pid" --seed-file="$dir/munge.seed" \
    --log-file="$dir/log/munged.log"

read -r port other < <("${PYTHON:-python}" -c '
import socket
both = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in both))')
cat >"$dir/slurm.conf" <<CONF
ClusterName=eventsnn
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$other
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$dir/munge.sock
CryptoType=crypto/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
SlurmdParameters=config_overrides
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
GresTypes=gpu
InactiveLimit=0
KillWait=30
NodeName=$node NodeAddr=127.0.0.1 CPUs=32 Boards=1 SocketsPerBoard=1 CoresPerSocket=32 ThreadsPerCore=1 RealMemory=64000 Gres=gpu:4 State=UNKNOWN
PartitionName=debug Nodes=$node Default=YES MaxTime=INFINITE State=UP
CONF
echo "NodeName=$node Name=gpu File=/dev/null,/dev/zero,/dev/full,/dev/urandom" >"$dir/gres.conf"
export SLURM_CONF="$dir/slurm.conf"
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF" -N "$node"
for _ in $(seq 150); do
    if timeout 5 sinfo -h -o %T 2>/dev/null | grep -q idle; then
        "$@" &
        child=$!
        wait "$child"
        exit $?
    fi
    sleep 0.2
done
echo "slurm.sh: the node was not ready after 30 s" >&2
exit 70
