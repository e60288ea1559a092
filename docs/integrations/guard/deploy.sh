#!/bin/sh
# Deploys with a way back:
#
#     VERSION=2.4.0 ./deploy.sh                       # the images of docker-compose.yml
#     VERSION=2.4.0 ./deploy.sh ./migrate --to 2.4.0  # any other command
#
# Its exit code is that of backstop, its last line says what is running now.
set -eu

HEALTH_URL=${HEALTH_URL:-http://127.0.0.1:8080/health}
HEALTH_TIMEOUT=${HEALTH_TIMEOUT:-2m}
VERSION=${VERSION:-$(git describe --tags --always 2>/dev/null || date -u +%Y%m%d-%H%M%S)}

# Without arguments: what is to be done, as one command. It has no stdin, so nothing in it may ask.
[ $# -gt 0 ] || set -- sh -c 'docker compose pull && docker compose up --detach --wait'

# Ctrl-C reaches backstop too, which passes it on and goes back. This script waits for that,
# since its last line is to be true. Not '': that would be inherited, and nobody would be told.
trap : HUP INT TERM

# An earlier run may have been killed half way, by a reboot say. That comes to its end first.
code=0
backstop guard resume || code=$?
if [ "$code" -ne 0 ]; then
    echo "deploy.sh: $VERSION was not begun: an earlier upgrade had been cut off, see above ($code)."
    exit "$code"
fi

backstop guard --version-label "$VERSION" \
    --health "$HEALTH_URL" --health-timeout "$HEALTH_TIMEOUT" -- "$@" || code=$?

case $code in
    0) echo "deploy.sh: $VERSION is running." ;;
    # Nobody is waiting at night: the old version serves, the reason can be read tomorrow.
    20) echo "deploy.sh: $VERSION failed; the version before it is running again." ;;
    21) echo "deploy.sh: $VERSION failed, and so did the way back: the commands above go on by hand." ;;
    1) echo "deploy.sh: $VERSION was not begun: there is no backup to come back to, see above." ;;
    *) echo "deploy.sh: backstop ended with $code; \`backstop guard status\` says how far it came." ;;
esac
exit "$code"
