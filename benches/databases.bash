# The database part against plain pg_dump. Read by scripts/bench.
# shellcheck shell=bash
# shellcheck disable=SC2154 # scripts/bench sets the variables

# PostgreSQL refuses to run as root.
server_user=()
[[ $(id -u) != 0 ]] || server_user=(setpriv --reuid=postgres --regid=postgres --clear-groups)

plain_pg_dump() { pg_dump --format=directory --jobs=2 --file="$work/dump" "$url"; }
export -f plain_pg_dump

# Starts a PostgreSQL server, at $url.
start_server() {
    local port
    [[ -n $pg ]] || fail "no PostgreSQL server programs were found"
    port=$(free_port)
    mkdir "$work/postgres"
    [[ $(id -u) != 0 ]] || chown postgres: "$work/postgres"
    "${server_user[@]}" "$pg/initdb" --no-sync --encoding=UTF8 --locale=C.UTF-8 --auth=trust \
        --username=postgres --pgdata="$work/postgres/data" >/dev/null
    "${server_user[@]}" "$pg/postgres" -D "$work/postgres/data" -p "$port" -c fsync=off \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c autovacuum=off \
        -c shared_buffers=128MB -c max_wal_size=4GB >"$work/postgres.log" 2>&1 </dev/null &
    server=$!
    export url=postgres://postgres@127.0.0.1:$port/postgres
    until psql --quiet --command='SELECT' "$url" >/dev/null 2>&1; do
        kill -0 "$server" || { cat "$work/postgres.log" >&2 && fail "PostgreSQL did not start"; }
        sleep 0.2
    done
    { config && printf '[[databases]]\nname = "shop"\nurl = "%s"\njobs = 2\n' "$url"; } \
        >"$work/backstop.toml"
}
stop_server() {
    kill -INT "$server"
    wait "$server" || true
    server=""
    rm -rf "$work/postgres"
}

bench_databases() {
    local round
    say "Making a database of about $database MiB"
    start_server
    fill_sql "$database" | psql --quiet --set=ON_ERROR_STOP=1 "$url"
    say "databases"
    forget && plain_pg_dump && forget && backup --only databases 2>/dev/null
    for ((round = 0; round < rounds; round++)); do
        forget && timed pg_dump prioritized plain_pg_dump
        forget && timed "backstop databases" prioritized backup --only databases
        note "dump databases" "$(step_seconds dump publish)"
    done
    stop_server

    header "database of $database MiB" "pg_dump -Fd -j 2"
    row "the whole backup" "backstop databases" pg_dump
    row "the dump alone" "dump databases" pg_dump
}
