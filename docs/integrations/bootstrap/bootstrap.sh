#!/usr/bin/env bash
# Sets up a machine, with a restore point before each step that changes much.
#
# The steps stand for your own. On an empty machine the first checkpoints find nothing that could
# be backed up: they say so in one line, and the script goes on.
set -euo pipefail

# No checkpoint without backstop, and none that ends this script.
checkpoint() {
    if command -v backstop >/dev/null; then backstop checkpoint auto "$1"; fi
}

# step PROGRAM ARGUMENTS…: runs what there is.
step() {
    if command -v "$1" >/dev/null; then "$@"; else echo "bootstrap: no $1 here"; fi
}

checkpoint pre-homebrew
step brew bundle

checkpoint pre-dotfiles
step chezmoi apply

checkpoint pre-applications
step docker compose up --detach --wait

checkpoint post-setup
checkpoint bootstrap-complete

if command -v backstop >/dev/null; then
    echo "Restore points of this bootstrap:"
    backstop checkpoint report
fi
echo "The machine is set up."
