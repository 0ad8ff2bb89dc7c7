#!/usr/bin/env bash
# A real SLURM of one node on this machine, for the tests: `cluster.sh start` installs (Debian, as root) what is
# missing, writes /etc/slurm/slurm.conf and starts munge, the controller and the node; `cluster.sh stop` ends them.
# An existing configuration that this script did not write is left alone, with exit code 3.
set -euo pipefail

mark="# written by the mspn tests"
conf=/etc/slurm/slurm.conf

start() {
    if [ "$(id -u)" != 0 ]; then echo "not root: cannot install or start SLURM"; exit 3; fi
    if [ -e "$conf" ] && ! grep -q "$mark" "$conf"; then echo "$conf exists and is not ours"; exit 3; fi
    if ! command -v slurmctld slurmd munged >/dev/null; then
        command -v apt-get >/dev/null || { echo "no apt-get to install slurm-wlm with"; exit 3; }
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurm-wlm munge >/dev/null
    fi
    if sinfo -h >/dev/null 2>&1; then echo "already running"; return; fi

    for folder in /run/munge /var/log/munge /var/lib/munge; do
        mkdir -p "$folder"; chown munge:munge "$folder"
    done
    chmod 0755 /run/munge
    [ -e /etc/munge/munge.key ] || mungekey --create
    chown munge:munge /etc/munge/munge.key; chmod 0400 /etc/munge/munge.key
    pgrep -x munged >/dev/null || setpriv --reuid=munge --regid=munge --clear-groups munged

    mkdir -p /etc/slurm /var/spool/slurmctld /var/spool/slurmd /var/log/slurm
    local host memory
    host=$(hostname -s)
    memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 * 9 / 10))
    cat >"$conf" <<EOF
$mark
ClusterName=mspn
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
ReturnToService=2
KillWait=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
    slurmctld
    slurmd
    for _ in $(seq 30); do
        sinfo -h -o %T 2>/dev/null | grep -q idle && { echo "running"; return; }
        sleep 1
    done
    echo "SLURM did not come up; see /var/log/slurm"; exit 1
}

# Ends the three daemons by the ids that they wrote down, and waits until they are gone.
stop() {
    for file in /run/slurmd.pid /run/slurmctld.pid /run/munge/munged.pid; do
        [ -s "$file" ] || continue
        local id
        id=$(cat "$file")
        kill "$id" 2>/dev/null || continue
        for _ in $(seq 100); do kill -0 "$id" 2>/dev/null || break; sleep 0.2; done
    done
    if grep -qs "$mark" "$conf"; then rm -f "$conf"; fi
    rm -rf /var/spool/slurmctld /var/spool/slurmd
}

case "${1:-}" in
start) start ;;
stop) stop ;;
*) echo "usage: cluster.sh start|stop"; exit 2 ;;
esac
