# The application's downtime against bare docker commands. Read by scripts/bench.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # scripts/bench sets and reads the variables

psql_in_stack() {
    docker exec --interactive "$(scripts/compose --project-name "$project" ps --quiet db)" \
        psql --username=shop --dbname=shop --quiet --set=ON_ERROR_STOP=1
}
wait_healthy() {
    for _ in $(seq 600); do
        "$BACKSTOP_SHOP_BINARY" health --url "http://127.0.0.1:$SHOP_PORT" >/dev/null 2>&1 && return
        sleep 0.2
    done
    fail "the application did not become healthy in two minutes"
}
stop_and_start() { docker stop "$1" && docker start "$1"; }
pause_and_unpause() { docker pause "$1" && docker unpause "$1"; }

compare_downtime() {
    local size=$1 app=$2 how round
    for how in stop pause; do
        say "downtime: $how, database of $size MiB"
        {
            config
            cat <<TOML
[[databases]]
name = "shop"
url = "postgres://shop@127.0.0.1:$SHOP_DB_PORT/shop"
password_env = "SHOP_DB_PASSWORD"
[[files]]
name = "uploads"
volume = "${project}_uploads"
[[containers]]
select = "label=backstop.quiesce=$project"
quiesce = "$how"
TOML
        } >"$work/backstop.toml"
        for ((round = 0; round < rounds; round++)); do
            forget && wait_healthy
            if [[ $how == stop ]]; then
                timed "bare $how $size" stop_and_start "$app"
            else
                timed "bare $how $size" pause_and_unpause "$app"
            fi
            forget && wait_healthy
            timed "whole $how $size" backup
            note "$how $size" "$(jq '.downtime[0].seconds' "$work/backup.json")"
            note "files $how $size" "$(step_seconds capture resume)"
        done
    done
}

bench_downtime() {
    local images app size
    images=$(scripts/images)
    eval "$images"
    SHOP_PORT=$(free_port) SHOP_DB_PORT=$(free_port)
    SHOP_DB_PASSWORD=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
    export SHOP_PORT SHOP_DB_PORT SHOP_DB_PASSWORD SHOP_QUIESCE=$project
    say "Bringing up the sample stack"
    stack=yes
    scripts/compose --project-name "$project" up --detach >"$work/compose.log" 2>&1 ||
        { cat "$work/compose.log" >&2 && fail "compose could not bring up the stack"; }
    wait_healthy
    app=$(scripts/compose --project-name "$project" ps --quiet app)
    for size in 10 "$fill"; do
        {
            echo "SET client_min_messages = warning;"
            echo "DROP TABLE IF EXISTS orders_1, orders_2, orders_3, orders_4;"
            fill_sql "$size"
        } | psql_in_stack
        compare_downtime "$size" "$app"
    done
    scripts/remove-stack "$project"
    stack=no

    header "downtime of the application" "docker stop, docker start"
    for size in 10 "$fill"; do row "stopped, database of $size MiB" "stop $size" "bare stop $size"; done
    header "downtime of the application" "docker pause, docker unpause"
    for size in 10 "$fill"; do row "paused, database of $size MiB" "pause $size" "bare pause $size"; done
    printf '\n| part of the downtime | seconds |\n| --- | --- |\n'
    for size in 10 "$fill"; do
        printf '| capture of the files, database of %s MiB | %s |\n' "$size" \
            "$({ series "files stop $size" && series "files pause $size"; } | spread " s")"
        printf '| (the whole backup, database of %s MiB) | %s |\n' "$size" \
            "$({ series "whole stop $size" && series "whole pause $size"; } | spread " s")"
    done
}
