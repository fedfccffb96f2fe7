#!/usr/bin/env bash
# hosts_rsh.sh [OPTION...] HOST WORD...: what mpirun takes for ssh, between the hosts of hosts.sh: the words are joined for a shell on HOST.
while [[ $1 == -* ]]; do shift; done
pid=$(cat "${HOSTS_FOLDER:?}/$1.pid") || exit 1
shift
exec nsenter --target "$pid" --net --uts --mount bash -c "$*"
