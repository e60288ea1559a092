# The peak memory of a backup of huge sources. Read by scripts/bench.
# shellcheck shell=bash
# shellcheck disable=SC2154 # scripts/bench sets the variables

# peak WHAT TREE : the most memory that a backup of a tree takes.
peak() {
    local kib
    { config && printf '[[files]]\nname = "tree"\npath = "%s"\ncapture = "archive"\n' "$2"; } \
        >"$work/backstop.toml"
    say "memory: $1"
    forget
    /usr/bin/time --format=%M --output="$work/peak" \
        "$backstop" --config "$work/backstop.toml" backup --only files --json \
        >"$work/backup.json" 2>/dev/null
    kib=$(cat "$work/peak")
    printf '| %s | %s | %s |\n' "$1" "$(jq '.duration_seconds | round' "$work/backup.json") s" \
        "$((kib / 1024)) MiB" >>"$work/peaks"
    forget
    rm -rf "$2"
}

bench_memory() {
    local number step=$((memory_gib * 16)) file=$work/sparse/file
    [[ -x /usr/bin/time ]] || fail "GNU time is needed: apt-get install time"
    say "Making $memory_files files"
    for ((number = 0; number < 1000; number++)); do
        mkdir -p "$work/many/$number"
        head -c $((memory_files / 10)) /dev/urandom |
            split --bytes=100 --suffix-length=5 - "$work/many/$number/f"
    done
    peak "$memory_files files" "$work/many"
    say "Making a file of $memory_gib GiB"
    mkdir "$work/sparse"
    stream $((64 << 20)) 1 >"$work/piece"
    # One MiB of data in 32, up to the middle, then 64 MiB pieces without a gap.
    for ((number = 0; number < memory_gib * 16; number++)); do
        dd if="$work/piece" of="$file" bs=1M count=1 seek=$((number * 32)) conv=notrunc status=none
    done
    for ((number = step / 2; number < step; number++)); do
        dd if="$work/piece" of="$file" bs=1M seek=$((number * 64)) conv=notrunc status=none
    done
    peak "one file of $memory_gib GiB, sparse then dense" "$work/sparse"
    printf '\n| memory | time | peak |\n| --- | --- | --- |\n'
    cat "$work/peaks"
}
