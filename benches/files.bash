# The file backup against tar, zstd and sha256sum. Read by scripts/bench.
# shellcheck shell=bash
# shellcheck disable=SC2154 # scripts/bench sets the variables

tar_zstd() {
    tar --format=posix --xattrs --acls -C "$1" -c . | zstd -q -T0 -3 >"$work/out"
    sha256sum "$work/out" >"$work/out.sha256"
}
plain_tar_zstd() { tar -C "$1" -c . | zstd -q -T0 -3 >"$work/out"; }
export -f tar_zstd plain_tar_zstd

compare_files() {
    local tree=$1 what=$2 round
    { config && printf '[[files]]\nname = "tree"\npath = "%s"\ncapture = "archive"\n' "$tree"; } \
        >"$work/backstop.toml"
    say "files: $what"
    forget && tar_zstd "$tree" && forget && backup --only files 2>/dev/null
    for ((round = 0; round < rounds; round++)); do
        forget && timed "tar $what" prioritized tar_zstd "$tree"
        forget && timed "backstop $what" prioritized backup --only files
        note "capture $what" "$(step_seconds capture resume)"
        forget && timed "plain $what" prioritized plain_tar_zstd "$tree"
    done
    rm -rf "$tree"
}

bench_files() {
    local number trees=("small files" "mixed" "big files")
    say "Making the tree of small files"
    for ((number = 0; number < 100; number++)); do
        split_into "$work/small/$number" $((small_files / 100)) \
            $(((number % 8 + 1) * 1024 - number)) "$number"
    done
    compare_files "$work/small" "small files"
    say "Making the mixed tree"
    for ((number = 0; number < 10; number++)); do
        split_into "$work/mixed/$number/pages" $((mixed * 2)) 10000 "$number"
        split_into "$work/mixed/$number/images" $((mixed / 50 + 1)) 2000000 "$number"
        split_into "$work/mixed/$number/films" 1 $((mixed * 40000)) "$number"
    done
    compare_files "$work/mixed" mixed
    say "Making the tree of big files"
    for number in 1 2 3 4; do
        mkdir -p "$work/big"
        stream $((big * 262144)) "$number" >"$work/big/$number"
    done
    compare_files "$work/big" "big files"

    header "files" "tar, zstd -T0 -3, sha256sum"
    for what in "${trees[@]}"; do row "$what" "backstop $what" "tar $what"; done
    header "files" "tar, zstd -T0 -3 without attributes and checksum"
    for what in "${trees[@]}"; do row "$what" "backstop $what" "plain $what"; done
    header "files, while writers would be held" "tar, zstd -T0 -3, sha256sum"
    for what in "${trees[@]}"; do row "$what" "capture $what" "tar $what"; done
}
