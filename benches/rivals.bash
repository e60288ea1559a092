# Full backup, restore and incremental against tar with zstd, restic and borg. Read by
# scripts/bench.
# shellcheck shell=bash
# shellcheck disable=SC2154 # scripts/bench sets the variables

tar_to_file() { tar --format=posix --xattrs --acls -C "$1" -c . | zstd -q -T0 -3 >"$work/tar.zst"; }
tar_from_file() { zstd -q -d -c "$work/tar.zst" | tar --xattrs --acls -C "$out" -xp; }
restic_backup() { restic backup --quiet "$1"; }
restic_restore() { restic restore --quiet latest --target "$out"; }
borg_backup() { borg create --compression zstd,3 "::$EPOCHREALTIME" "$1"; }
borg_restore() { (cd "$out" && borg extract "::$1"); }
# A walk on all cores that looks at every file and does nothing else.
walk() {
    find "$1" -mindepth 1 -maxdepth 1 -print0 |
        xargs -0 -P "$(nproc)" -n 20 -I{} find {} -printf '%s %T@ %C@ %i\n' >/dev/null
}
backstop_peak() {
    /usr/bin/time --format=%M --append --output="$work/peak.$1" \
        "$backstop" --config "$work/backstop.toml" "${@:2}" --json >"$work/answer.json"
}
export -f tar_to_file tar_from_file restic_backup restic_restore borg_backup borg_restore walk \
    backstop_peak

need_rivals() {
    local program
    for program in restic borg; do
        command -v "$program" >/dev/null || fail "$program is needed: apt-get install restic borgbackup"
    done
    [[ -x /usr/bin/time ]] || fail "GNU time is needed: apt-get install time"
    export RESTIC_REPOSITORY=$work/restic RESTIC_PASSWORD=bench RESTIC_CACHE_DIR=$work/restic-cache
    export BORG_REPO=$work/borg BORG_BASE_DIR=$work/borg-home
    export BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
}
forget_rivals() {
    rm -rf "$work"/{restic,restic-cache,borg,borg-home,tar.zst}
    forget
    restic init --quiet
    borg init --encryption=none
}
# new_out NAME : a directory of its own, with nothing left to write. The others stay: ext4 is slow
# to create files where many have just been deleted.
new_out() {
    export out=$work/out/$1
    mkdir -p "$out"
    sync --file-system "$work"
}
files_of() {
    config
    printf '[[files]]\nname = "tree"\npath = "%s"\ncapture = "archive"\n' "$1"
}
most_memory() { sort -n "$work/peak.$1" | awk 'END { printf "%d MiB", $1 / 1024 }'; }

bench_rivals() {
    local number round archive tree=$work/tree what
    need_rivals
    say "Making $rival_files small files and $rival_big MiB in big ones"
    for ((number = 0; number < 50; number++)); do
        split_into "$tree/$number" $((rival_files / 50)) $(((number % 8 + 1) * 1024 - number)) "$number"
    done
    for number in 1 2 3 4; do stream $((rival_big * 262144)) "$number" >"$tree/big-$number"; done
    files_of "$tree" >"$work/backstop.toml"
    for ((round = 0; round < rounds; round++)); do
        say "rivals: round $((round + 1))"
        forget_rivals
        timed "full tar" prioritized tar_to_file "$tree"
        timed "full backstop" prioritized backstop_peak full backup --kind full
        timed "full restic" prioritized restic_backup "$tree"
        timed "full borg" prioritized borg_backup "$tree"
        archive=$(borg list --short | tail -n 1)
        new_out tar && timed "restore tar" prioritized tar_from_file
        new_out backstop && timed "restore backstop" prioritized backstop_peak restore restore latest --to "$out/to"
        new_out restic && timed "restore restic" prioritized restic_restore
        new_out borg && timed "restore borg" prioritized borg_restore "$archive"
        rm -rf "$work/out"
    done
    rm -rf "$tree"
    for what in full restore; do
        header "$what, $rival_files small files and $rival_big MiB" "the other"
        row "tar and zstd" "$what backstop" "$what tar"
        row restic "$what backstop" "$what restic"
        row "borg, zstd,3" "$what backstop" "$what borg"
    done
    printf '\n| most memory | |\n| --- | --- |\n'
    printf '| full backup | %s |\n| restore | %s |\n' "$(most_memory full)" "$(most_memory restore)"
}
