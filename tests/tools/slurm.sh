# slurm.sh: a real Slurm of one node on this machine's loopback: munged, slurmctld, slurmd. Source it, call slurm_up FOLDER (empty, absolute), and slurm_down at the end. As root.
# Clients wait for ever when a daemon is down: call them by slurm.

slurm_up() {
    slurm_folder=$1
    mkdir -p "$1"/{state,spool,log} && mkdir -m 700 "$1/munge" || return 1
    chmod 755 "$1"
    local host; host=$(hostname -s)
    dd if=/dev/urandom of="$1/munge/key" bs=1024 count=1 status=none
    chmod 400 "$1/munge/key"
    munged --force --key-file="$1/munge/key" --socket="$1/munge.sock" --pid-file="$1/munge/pid" --log-file="$1/log/munged.log" --seed-file="$1/munge/seed" --num-threads=2 || return 1
    cat >"$1/slurm.conf" <<C
ClusterName=loopback
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$1/munge.sock
CryptoType=crypto/munge
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool
SlurmctldPidFile=$1/slurmctld.pid
SlurmdPidFile=$1/slurmd.pid
SlurmctldLogFile=$1/log/slurmctld.log
SlurmdLogFile=$1/log/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
SrunPortRange=16900-17900
MpiDefault=pmix
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
InactiveLimit=0
MinJobAge=300
KillWait=20
JobRequeue=1
PropagateResourceLimits=NONE
MailProg=/bin/true
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 Boards=1 SocketsPerBoard=1 CoresPerSocket=4 ThreadsPerCore=1 RealMemory=2000 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=60 State=UP
C
    echo "PMIxCliTmpDirBase=$1/pmix" >"$1/mpi.conf"
    mkdir -p "$1/pmix"
    export SLURM_CONF=$1/slurm.conf
    slurmctld -c -f "$SLURM_CONF" && slurmd -f "$SLURM_CONF" || return 1
    local i
    for i in $(seq 60); do
        [ "$(slurm sinfo -h -o %t 2>/dev/null)" = idle ] && return 0
        sleep 0.5
    done
    slurm sinfo; tail -n 5 "$1"/log/*
    return 1
}

slurm() { timeout 60 "$@"; }

slurm_down() {
    local pid file
    slurm scancel --state=RUNNING --user="$(id -un)"
    for _ in $(seq 100); do [ -n "$(slurm squeue -h --state=RUNNING,COMPLETING)" ] || break; sleep 0.1; done
    for file in "$slurm_folder"/{slurmd.pid,slurmctld.pid,munge/pid}; do
        [ -s "$file" ] && pid=$(cat "$file") && kill "$pid" && while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    done
}
