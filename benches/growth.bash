# What a second day costs of a database in which one table of 50 changed. Read by scripts/bench.
# shellcheck shell=bash
# shellcheck disable=SC2154 # scripts/bench sets the variables

stored() { jq '[.components[] | select(.name == "shop") | .stored_bytes] | add' "$work/answer.json"; }

bench_growth() {
    local table first
    [[ -x /usr/bin/time ]] || fail "GNU time is needed: apt-get install time"
    say "Making a database of 50 tables"
    start_server
    for ((table = 1; table <= 50; table++)); do
        printf 'CREATE TABLE table_%s AS SELECT n AS id, md5((n * %s)::text) AS token, now() AS at
            FROM generate_series(1, 40000) AS n;\n' "$table" "$table"
    done | psql --quiet --set=ON_ERROR_STOP=1 "$url"
    forget
    backstop_peak growth backup 2>/dev/null
    first=$(stored)
    psql --quiet --command="UPDATE table_7 SET token = md5(token) WHERE id % 3 = 0" "$url"
    backstop_peak growth backup 2>/dev/null
    printf '\n| database of 50 tables, %s MiB stored | day two |\n| --- | --- |\n' "$((first >> 20))"
    printf '| one table changed | %s |\n' \
        "$(awk -v one="$first" -v two="$(stored)" 'BEGIN { printf "%.2f %% of day one", 100 * two / one }')"
    backstop_peak growth backup 2>/dev/null
    printf '| nothing changed | %s |\n| most memory | %s |\n' \
        "$(awk -v one="$first" -v two="$(stored)" 'BEGIN { printf "%.2f %% of day one", 100 * two / one }')" \
        "$(most_memory growth)"
    stop_server
    forget
}
