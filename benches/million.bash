# A tree of a million files: incremental backups, and questions over many of them. Read by
# scripts/bench.
# shellcheck shell=bash
# shellcheck disable=SC2154 # scripts/bench sets the variables

# A hundred files with other content than before.
change_some() {
    local number
    for ((number = 0; number < 100; number++)); do
        printf 'round %s, %s\n' "$1" "$number" >"$work/many/$((number * 7 % 1000))/changed-$number"
    done
}

# copy_backups COUNT : what the next backups would be, one a day, if each time the same had
# changed: every thirtieth full, as `repository.full_every` has it by default, the others
# incremental, each of the one before.
copy_backups() {
    local full newest from kind id name at number sequence parent sums
    full=$(newest_backup full) newest=$(newest_backup incremental)
    parent=$(jq -r .id "$newest/manifest.json") sequence=$(jq -r .sequence "$newest/manifest.json")
    for ((number = 1; number <= $1; number++)); do
        kind=incremental from=$newest
        if (((sequence + number - 1) % 30 == 0)); then kind=full from=$full; fi
        id=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
        at=$(date --utc --date="@$(($(date +%s) + number * 86400))" +%Y-%m-%dT%H:%M:%S)
        name=backup_${kind}_manual_$(tr 'T:' '_-' <<<"$at")_${id:0:4}
        cp -a "$from" "$work/copy"
        jq --arg id "$id" --arg name "$name" --arg at "${at}Z" --arg parent "$parent" \
            --argjson sequence $((sequence + number)) \
            '.id = $id | .name = $name | .sequence = $sequence
            | .started_at = $at | .finished_at = $at
            | if .parent then .parent = $parent else . end
            | .components |= map(if .changes_since then .changes_since = $parent else . end)' \
            "$from/manifest.json" >"$work/copy/manifest.json"
        sums=$(sha256sum "$work/copy/manifest.json" | cut -d' ' -f1)
        sed -i "s/^[0-9a-f]*  manifest.json\$/$sums  manifest.json/" "$work/copy/SHA256SUMS"
        mv "$work/copy" "$work/repository/backups/$name"
        parent=$id
    done
}

# newest_backup KIND : its directory.
newest_backup() {
    find "$work/repository/backups" -mindepth 1 -maxdepth 1 -name "backup_$1_*" | sort | tail -n 1
}

bench_million() {
    local number round
    need_rivals
    say "Making $memory_files files"
    for ((number = 0; number < 1000; number++)); do
        mkdir -p "$work/many/$number"
        head -c $((memory_files / 10)) /dev/urandom |
            split --bytes=100 --suffix-length=5 - "$work/many/$number/f"
    done
    files_of "$work/many" >"$work/backstop.toml"
    forget_rivals
    say "million: full backups"
    backstop_peak "million full" backup --kind full 2>/dev/null
    restic_backup "$work/many"
    walk "$work/many"
    for ((round = 0; round < rounds; round++)); do
        say "million: round $((round + 1))"
        change_some "$round"
        timed "walk" prioritized walk "$work/many"
        timed "incremental backstop" prioritized backstop_peak incremental backup --kind incremental
        timed "incremental restic" prioritized restic_backup "$work/many"
    done
    rm -rf "$work"/{restic,restic-cache}
    say "million: 100 backups"
    copy_backups $((99 - rounds))
    backstop_peak list list
    for ((round = 0; round < rounds; round++)); do
        timed find prioritized backstop_peak find find changed-42
        timed "find by glob" prioritized backstop_peak find find "tree/2*/changed-4?"
        timed history prioritized backstop_peak history history tree/294/changed-42
    done
    rm -rf "$work/many"
    forget

    header "$memory_files files, 100 changed" "the other"
    row "walk with stat, all cores" "incremental backstop" walk
    row restic "incremental backstop" "incremental restic"
    printf '\n| 100 backups of %s files | seconds | most memory |\n| --- | --- | --- |\n' "$memory_files"
    printf '| find, by a part of the name | %s | %s |\n' "$(series find | spread " s")" "$(most_memory find)"
    printf '| find, by a glob | %s | |\n' "$(series "find by glob" | spread " s")"
    printf '| history | %s | %s |\n' "$(series history | spread " s")" "$(most_memory history)"
    printf '| (the full backup) | | %s |\n| (the incremental backups) | | %s |\n' \
        "$(most_memory "million full")" "$(most_memory incremental)"
}
