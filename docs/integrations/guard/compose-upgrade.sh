#!/bin/sh
# Upgrades a compose stack whose .env names the version of its images:
#
#     STACK_DIR=/srv/shop ./compose-upgrade.sh 2.4.0
#
# backstop brings back databases, files and containers, but no file that [[files]] does not name.
# So this script puts the old .env back itself: the next `docker compose up` would otherwise
# bring the failed version again, without a guard.
set -eu

HEALTH_URL=${HEALTH_URL:-http://127.0.0.1:8080/health}
tag=${1:-}
say() { echo "compose-upgrade.sh: $*"; }

case $tag in
    '' | *[!A-Za-z0-9._-]*) say "usage: compose-upgrade.sh TAG"; exit 2 ;;
esac
cd "${STACK_DIR:-$(dirname "$0")}"
grep -q '^APP_TAG=' .env || { say "no APP_TAG= in $PWD/.env"; exit 2; }

# A tag that does not exist ends here, before anything is begun. The variable wins over .env.
APP_TAG=$tag docker compose pull

# set -C fails where .env.before exists: another upgrade runs, or one was cut off.
if ! (umask 077; set -C; : >.env.before) 2>/dev/null; then
    say "an upgrade runs or was cut off: see \`backstop guard status\`, then keep one of .env, .env.before"
    exit 4
fi
cp -p .env .env.before || { rm .env.before; exit 1; }
trap : HUP INT TERM # the old .env is put back after a Ctrl-C too

# .env is replaced by a rename, so that a crash leaves it whole.
code=0
# shellcheck disable=SC2016 # $1 belongs to the inner shell
backstop guard --version-label "$tag" --health "$HEALTH_URL" -- sh -euc '
    cp -p .env .env.new
    sed "s/^APP_TAG=.*/APP_TAG=$1/" .env >.env.new
    mv .env.new .env
    docker compose up --detach --wait
' sh "$tag" || code=$?

case $code in
    0) rm .env.before; say "$tag is running." ;;
    20) mv -f .env.before .env; say "$tag failed; the version before it is running again, with its .env." ;;
    1) mv -f .env.before .env; say "$tag was not begun: there is no backup to come back to, see above." ;;
    21) say "$tag failed, and so did the way back: the commands above go on by hand, .env.before is the old .env." ;;
    *) say "backstop ended with $code: see \`backstop guard status\`; .env.before is the old .env." ;;
esac
exit "$code"
