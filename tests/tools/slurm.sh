# slurm.sh: a real Slurm: munged, slurmctld, and a slurmd for each node. Source it, call slurm_up FOLDER (empty, absolute), and slurm_down at the end. As root. Clients wait for ever when a
# daemon is down: call them by slurm.

# slurm_up FOLDER: of one node, this machine's loopback; where the hosts of hosts.sh are up, of these, with controller and clients on the first. A node has 2 GPUs, which are numbers only.
slurm_up() {
    slurm_folder=$1
    if [ -n "${HOSTS_FOLDER:-}" ]; then slurm_nodes=("${hosts[@]}") slurm_addresses=("${addresses[@]}"); else slurm_nodes=("$(hostname -s)") slurm_addresses=(127.0.0.1); fi
    local nodes places; nodes=$(IFS=,; echo "${slurm_nodes[*]}") places=$(IFS=,; echo "${slurm_addresses[*]}")
    mkdir -p "$1"/{state,spool,log} && mkdir -m 700 "$1/munge" || return 1
    chmod 755 "$1"
    dd if=/dev/urandom of="$1/munge/key" bs=1024 count=1 status=none
    chmod 400 "$1/munge/key"
    munged --force --key-file="$1/munge/key" --socket="$1/munge.sock" --pid-file="$1/munge/pid" --log-file="$1/log/munged.log" --seed-file="$1/munge/seed" --num-threads=2 || return 1
    cat >"$1/slurm.conf" <<C
ClusterName=loopback
SlurmctldHost=${slurm_nodes[0]}(${slurm_addresses[0]})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$1/munge.sock
CryptoType=crypto/munge
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool/%n
SlurmctldPidFile=$1/slurmctld.pid
SlurmdPidFile=$1/slurmd.%n.pid
SlurmctldLogFile=$1/log/slurmctld.log
SlurmdLogFile=$1/log/slurmd.%n.log
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
GresTypes=gpu
NodeName=$nodes NodeAddr=$places CPUs=4 Boards=1 SocketsPerBoard=1 CoresPerSocket=4 ThreadsPerCore=1 RealMemory=2000 Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=$nodes Default=YES MaxTime=60 State=UP
C
    echo "Name=gpu File=/dev/null,/dev/zero" >"$1/gres.conf"
    echo "PMIxCliTmpDirBase=${HOSTS_FOLDER:-$1}/pmix" >"$1/mpi.conf"
    mkdir -p "${HOSTS_FOLDER:-$1}/pmix"
    export SLURM_CONF=$1/slurm.conf
    local node
    slurm_at "${slurm_nodes[0]}" slurmctld -c -f "$SLURM_CONF" || return 1
    for node in "${slurm_nodes[@]}"; do mkdir -p "$1/spool/$node" && slurm_at "$node" slurmd -N "$node" -f "$SLURM_CONF" || return 1; done
    slurm_idle
}
slurm_at() { if [ -n "${HOSTS_FOLDER:-}" ]; then on_host "$@"; else shift; "$@"; fi; } # slurm_at NODE COMMAND...
slurm_idle() {
    local i
    for i in $(seq 60); do
        [ "$(slurm sinfo -h -o '%t %D' 2>/dev/null)" = "idle ${#slurm_nodes[@]}" ] && return 0
        sleep 0.5
    done
    slurm sinfo; tail -n 5 "$slurm_folder"/log/*
    return 1
}

slurm() { slurm_at "${slurm_nodes[0]}" timeout 60 "$@"; }

slurm_down() {
    local pid file
    slurm scancel --state=RUNNING --user="$(id -un)"
    for _ in $(seq 100); do [ -n "$(slurm squeue -h --state=RUNNING,COMPLETING)" ] || break; sleep 0.1; done
    for file in "$slurm_folder"/slurmd.*.pid "$slurm_folder"/{slurmctld.pid,munge/pid}; do
        [ -s "$file" ] && pid=$(cat "$file") && kill "$pid" && while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    done
}
