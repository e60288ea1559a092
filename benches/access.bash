# One file out of large and small archives, and the list of many backups. Read by
# scripts/bench.
# shellcheck shell=bash
# shellcheck disable=SC2154 # scripts/bench sets the variables

# compare_access GIB : the time to restore and to print one file of a MiB.
compare_access() {
    local gib=$1 number round
    say "Making a tree of $gib GiB"
    mkdir -p "$work/access"
    # Pieces of 64 MiB, and between them the files that are wanted.
    head -c $((64 << 20)) /dev/urandom >"$work/piece"
    for ((number = 0; number < gib * 16; number++)); do
        # Each begins otherwise, so that none is stored once for all.
        { printf '%065536d' "$number" && cat "$work/piece"; } >"$work/access/$number-big"
        if ((number % 4 == 0)); then head -c $((1 << 20)) /dev/urandom >"$work/access/$number-wanted"; fi
    done
    rm "$work/piece"
    files_of "$work/access" >"$work/backstop.toml"
    forget
    backstop_peak "access $gib" backup --kind full 2>/dev/null
    rm -rf "$work/access"
    for ((round = 0; round < rounds; round++)); do
        number=$(((gib * 8 + round * 4) % (gib * 16) / 4 * 4))
        rm -rf "$work/out"
        timed "restore of $gib" prioritized backstop_peak one restore latest \
            --path "tree/$number-wanted" --to "$work/out"
        timed "cat of $gib" prioritized "$backstop" --config "$work/backstop.toml" \
            cat latest "tree/$number-wanted"
    done
    forget
}

bench_access() {
    local number
    [[ -x /usr/bin/time ]] || fail "GNU time is needed: apt-get install time"
    compare_access 1
    compare_access "$access_gib"
    header "one file of 1 MiB" "out of 1 GiB"
    row "restore --path, out of $access_gib GiB" "restore of $access_gib" "restore of 1"
    row "cat, out of $access_gib GiB" "cat of $access_gib" "cat of 1"

    say "Making the manifests of 10000 backups"
    mkdir -p "$work/small" && echo one >"$work/small/one"
    files_of "$work/small" >"$work/backstop.toml"
    backstop_peak first backup 2>/dev/null
    copy_manifests 10000
    timed "first list" prioritized backstop_peak list list
    for ((number = 0; number < rounds; number++)); do
        timed list prioritized backstop_peak list list
        timed "list limit" prioritized backstop_peak list list --limit 20
    done
    forget
    printf '\n| list of 10,000 backups | seconds | most memory |\n| --- | --- | --- |\n'
    printf '| all | %s | %s |\n' "$(series list | spread " s")" "$(most_memory list)"
    printf '| --limit 20 | %s | |\n' "$(series "list limit" | spread " s")"
    printf '| the first, which fills a new catalog | %s | |\n' "$(series "first list" | spread " s")"
}

# copy_manifests COUNT : backups that consist of a manifest alone, as a list needs them.
copy_manifests() {
    local from
    from=$(find "$work/repository/backups" -mindepth 1 -maxdepth 1)
    python3 - "$from" "$1" <<'PYTHON'
import datetime, json, os, secrets, sys
source, count = sys.argv[1], int(sys.argv[2])
manifest = json.load(open(source + "/manifest.json"))
first = datetime.datetime(2024, 1, 1)
for number in range(count):
    id = secrets.token_hex(16)
    at = first + datetime.timedelta(hours=number)
    name = f"backup_full_manual_{at:%Y-%m-%d_%H-%M-%S}_{id[:4]}"
    manifest.update(id=id, name=name, sequence=number + 2,
                    started_at=at.isoformat() + "Z", finished_at=at.isoformat() + "Z")
    path = os.path.join(os.path.dirname(source), name)
    os.mkdir(path)
    with open(path + "/manifest.json", "w") as file:
        json.dump(manifest, file, indent=2)
PYTHON
}
