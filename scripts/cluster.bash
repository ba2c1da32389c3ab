# shellcheck shell=bash
# Throw-away PostgreSQL clusters, one folder each below the temporary folder. Sourced by `./test` and `scripts/postgres`.
#
#   jobs-postgres-UID-NAME/      ours (checked before anything is stopped or removed)
#     cluster                    the marker: bin, port and owner, one `key=value` a line; `made` once it is complete
#     server/{data,socket,log}   the server's; it belongs to `nobody` when root runs this, since PostgreSQL refuses root
#     postgres/                  a copy of the binaries, only if that user cannot read the originals
#     disk/                      a small disk of its own, if a test has asked for one
#
# The owner is the process that will remove the cluster. Once it is gone, `cluster_reap` may; a cluster without one is
# a developer's and stays until `scripts/postgres stop`.

cluster_fail() {
    printf '%s\n' "$*" >&2
    return 1
}

# Runs a command as the server's user.
cluster_as_server() {
    if ((EUID != 0)); then
        "$@"
    elif command -v runuser >/dev/null; then
        runuser -u nobody -- "$@"
    elif command -v setpriv >/dev/null; then
        setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups -- "$@"
    else
        sudo -u nobody -- "$@"
    fi
}

# The folder of the newest PostgreSQL server on this machine; TEST_POSTGRES_BIN names another one.
cluster_find_bin() {
    local dir found=
    if [[ -n ${TEST_POSTGRES_BIN:-} ]]; then
        cluster_is_bin "$TEST_POSTGRES_BIN" ||
            { cluster_fail "TEST_POSTGRES_BIN=$TEST_POSTGRES_BIN holds no initdb, pg_ctl and postgres"; return 1; }
        printf '%s\n' "$TEST_POSTGRES_BIN"
        return
    fi
    while IFS= read -r dir; do
        if cluster_is_bin "$dir"; then found=$dir; fi
    done < <(
        dirname "$(command -v initdb || echo /nowhere/initdb)"
        printf '%s\n' /usr/pgsql-*/bin /usr/local/opt/postgresql*/bin /opt/homebrew/opt/postgresql*/bin \
            /usr/lib/postgresql/*/bin | sort -V
    )
    [[ -n $found ]] && printf '%s\n' "$found"
}

cluster_is_bin() {
    [[ -x $1/initdb && -x $1/pg_ctl && -x $1/postgres ]]
}

# A socket's path may have about 100 characters, and the server's user must be able to reach it.
cluster_tmp() {
    local tmp=${TMPDIR:-/tmp}
    tmp=${tmp%/}
    if ((${#tmp} > 40)) || ! (cd / && cluster_as_server test -x "$tmp"); then tmp=/tmp; fi
    printf '%s\n' "$tmp"
}

cluster_dir() {
    [[ $1 =~ ^[a-z0-9-]{1,30}$ ]] || { cluster_fail "a cluster's name is 1 to 30 of a-z, 0-9 and -; got \"$1\""; return 1; }
    printf '%s/jobs-postgres-%s-%s\n' "$(cluster_tmp)" "$EUID" "$1"
}

# Whether a folder is a cluster that we made: others can write to /tmp as well.
cluster_is_ours() {
    [[ -d $1 && ! -L $1 && -O $1 && -f $1/cluster && ! -L $1/cluster && -O $1/cluster ]]
}

cluster_get() {
    sed -n "s/^$2=//p" "$1/cluster" | tail -n 1
}

# A process that cannot be mistaken for a later one with the same number: number, start, and where numbers are counted.
cluster_process() {
    local start
    if [[ -r /proc/$1/stat ]]; then
        start=$(sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 20)
        printf '%s %s %s\n' "$1" "$start" "$(readlink /proc/self/ns/pid)"
    elif [[ ! -d /proc/self ]]; then
        start=$(ps -o lstart= -p "$1") && printf '%s %s\n' "$1" "$start"
    fi
}

cluster_is_running() {
    local pid
    pid=$(head -n 1 "$1/server/data/postmaster.pid" 2>/dev/null) && [[ $pid =~ ^[0-9]+$ ]] || return 1
    # Both need root when the server is another user's: kill -0 would not do for a number that was given away again.
    if [[ -d /proc/self ]]; then
        [[ $(readlink "/proc/$pid/cwd") == "$(cd "$1/server/data" && pwd -P)" ]]
    else
        kill -0 "$pid" 2>/dev/null
    fi
}

cluster_url() {
    printf 'postgres://postgres@127.0.0.1:%s/postgres\n' "$(cluster_get "$1" port)"
}

# cluster_create DIR BIN OWNER: an initialised cluster whose server does not run yet. OWNER may be empty.
cluster_create() {
    local dir=$1 bin=$2 owner=$3 server
    [[ -d $dir ]] && rmdir "$dir" 2>/dev/null # left by a kill between mkdir and the marker
    (umask 022 && mkdir "$dir") || return
    printf 'owner=%s\n' "${owner:+$(cluster_process "$owner")}" >"$dir/cluster"
    if ! (cd / && cluster_as_server test -x "$bin/postgres"); then
        cp -a "$bin/.." "$dir/postgres" && chmod -R a+rX "$dir/postgres" && bin=$dir/postgres/bin || return
    fi
    printf 'bin=%s\n' "$bin" >>"$dir/cluster"
    server=$dir/server
    mkdir "$server" && if ((EUID == 0)); then chown nobody "$server"; fi || return
    # --no-sync is about the empty cluster only; the server itself keeps fsync on.
    (
        cd "$server" && unset "${!PG@}" &&
            cluster_as_server mkdir socket &&
            cluster_as_server "$bin/initdb" --pgdata=data --username=postgres --auth=trust --encoding=UTF8 \
                --locale=C --no-sync >"$dir/initdb.log" 2>&1
    ) || { cat "$dir/initdb.log" >&2; return 1; }
    cat >>"$server/data/postgresql.conf" <<-SETTINGS || return
		listen_addresses = '127.0.0.1'
		unix_socket_directories = '$server/socket'
		max_connections = 200
		shared_buffers = 256MB
		timezone = 'UTC'
		log_timezone = 'UTC'
		log_line_prefix = '%m [%p] %a '
		log_lock_waits = on
	SETTINGS
    echo made=yes >>"$dir/cluster"
}

# Whether its making came to an end: a full disk or a kill may have been in the way.
cluster_is_made() {
    cluster_is_ours "$1" && { [[ $(cluster_get "$1" made) == yes ]] || cluster_is_running "$1"; }
}

# cluster_up DIR: starts the server, on the port it had before or on a free one, and returns when it answers.
cluster_up() {
    local dir=$1 port tries
    cluster_is_running "$dir" && return
    port=$(cluster_get "$dir" port)
    if [[ -n $port ]]; then
        cluster_start_on "$dir" "$port" && return
    else
        # Trying is the only way to find a free port that nobody takes in between. From below the range of outgoing connections.
        for ((tries = 0; tries < 20; tries++)); do
            port=$((20000 + RANDOM % 12000))
            cluster_start_on "$dir" "$port" && printf 'port=%s\n' "$port" >>"$dir/cluster" && return
            tail -n 20 "$dir/server/log" | grep -q 'could not create any TCP/IP sockets' || break
        done
    fi
    cluster_fail "PostgreSQL did not start; the end of its log:"
    tail -n 20 "$dir/server/log" >&2
    return 1
}

cluster_start_on() {
    local dir=$1 bin
    bin=$(cluster_get "$dir" bin)
    (
        cd "$dir/server" && unset "${!PG@}" &&
            cluster_as_server "$bin/pg_ctl" start --silent --wait --timeout=60 --pgdata="$dir/server/data" \
                --log="$dir/server/log" --options="-p $2"
    ) >/dev/null 2>&1 </dev/null
}

# cluster_down DIR MODE: stops the server and keeps its data. MODE is pg_ctl's: fast, or immediate, as in a crash.
cluster_down() {
    local dir=$1 bin pid
    cluster_is_running "$dir" || return 0
    bin=$(cluster_get "$dir" bin)
    pid=$(head -n 1 "$dir/server/data/postmaster.pid")
    (cd "$dir/server" && cluster_as_server "$bin/pg_ctl" stop --silent --mode="$2" --wait --timeout=30 \
        --pgdata="$dir/server/data") >/dev/null 2>&1 || kill -KILL "$pid" 2>/dev/null
}

# cluster_disk DIR SIZE: a small disk for a tablespace, in memory; prints where. Needs root.
cluster_disk() {
    local disk=$1/disk
    mkdir "$disk" || return
    mount -t tmpfs -o "size=$2,mode=0755" tmpfs "$disk" || return
    mkdir "$disk/space" && chown nobody "$disk/space" && chmod 700 "$disk/space" && printf '%s\n' "$disk"
}

cluster_remove() {
    cluster_is_ours "$1" || { cluster_fail "$1 is not a cluster of ours; left alone"; return 1; }
    cluster_down "$1" immediate
    if [[ -d $1/disk ]] && mountpoint -q "$1/disk"; then umount "$1/disk" 2>/dev/null || umount -l "$1/disk"; fi
    rm -rf -- "${1:?}"
}

# Removes the clusters of runs that were killed before they could do so.
cluster_reap() {
    local dir owner here
    here=$(readlink /proc/self/ns/pid 2>/dev/null)
    for dir in "$(cluster_tmp)/jobs-postgres-$EUID-"*; do
        cluster_is_ours "$dir" || continue
        owner=$(cluster_get "$dir" owner)
        # No owner: a developer's. Counted elsewhere (another container with the same /tmp): we cannot tell.
        [[ -n $owner && $owner == *"$here" ]] || continue
        [[ $(cluster_process "${owner%% *}") == "$owner" ]] || cluster_remove "$dir"
    done
}
