# hosts.sh: three hosts on this machine, n1, n2 and n3: each a network, a name and a file system of its own behind one bridge, in namespaces that a sleeping process holds. Source it after
# cli.sh, call hosts_up FOLDER (empty, absolute), and hosts_down at the end. As root. A host is entered by its process, and gone with it: nothing has a name outside the folder.
hosts=(n1 n2 n3) addresses=(10.77.0.1 10.77.0.2 10.77.0.3)
export HOSTS_FOLDER

hold() { # hold NAME: new namespaces; the number of the process that holds them is in NAME.pid
    unshare --net --uts --mount bash -c 'echo $$ >"$1.tmp" && mv "$1.tmp" "$1" && exec sleep 1000' _ "$HOSTS_FOLDER/$1.pid" &
    local i
    for i in $(seq 100); do [ ! -s "$HOSTS_FOLDER/$1.pid" ] || return 0; kill -0 $! 2>/dev/null || return 1; sleep 0.05; done
    return 1
}
on_host() { # on_host HOST COMMAND...
    local pid; pid=$(cat "$HOSTS_FOLDER/$1.pid") || return 1
    shift; nsenter --target "$pid" --net --uts --mount "$@"
}

hosts_up() {
    HOSTS_FOLDER=$1
    mkdir -p "$1/pmix" && hold switch && on_host switch ip link add br0 type bridge && on_host switch ip link set br0 up || return 1
    local i
    { echo "127.0.0.1 localhost"; for i in "${!hosts[@]}"; do echo "${addresses[i]} ${hosts[i]}"; done; } >"$1/hosts"
    for i in "${!hosts[@]}"; do host_up "${hosts[i]}" "${addresses[i]}" || return 1; done
}
host_up() { # host_up HOST ADDRESS: its name, its line to the bridge; and of its own the file of names, and what Slurm's PMIx writes
    hold "$1" && on_host "$1" hostname "$1" && mkdir -p "$HOSTS_FOLDER/pmix.$1" || return 1
    on_host "$1" mount --bind "$HOSTS_FOLDER/hosts" /etc/hosts && on_host "$1" mount --bind "$HOSTS_FOLDER/pmix.$1" "$HOSTS_FOLDER/pmix" || return 1
    on_host switch ip link add "$1" type veth peer name eth0 netns "$(cat "$HOSTS_FOLDER/$1.pid")" && on_host switch ip link set "$1" master br0 up || return 1
    on_host "$1" ip address add "$2/24" dev eth0 && on_host "$1" ip link set eth0 up && on_host "$1" ip link set lo up
}
hosts_down() {
    local file pid
    for file in "$HOSTS_FOLDER"/*.pid; do [ -s "$file" ] && pid=$(cat "$file") && kill "$pid" && wait "$pid" 2>/dev/null; done
}

# hosts_ranks N COMMAND...: N ranks, as many on each host, by mpirun on the first
hosts_ranks() {
    local n=$1 list; shift
    list=$(printf "%s:$((n / ${#hosts[@]}))," "${hosts[@]}")
    on_host "${hosts[0]}" mpirun -np "$n" --host "${list%,}" --mca plm rsh --mca plm_rsh_agent "$TOOLS/hosts_rsh.sh" --mca oob_tcp_if_include eth0 --mca btl self,vader,tcp --mca btl_tcp_if_include eth0 \
        --mca pml ob1 --bind-to none "$@"
}
