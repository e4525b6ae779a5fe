#!/bin/sh
# usage: packages.sh PACKAGE...
# Installs what is missing, where there is apt; elsewhere names it and goes on.
set -eu
missing=
for package; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "packages.sh: no apt here; if something is missing below, install the likes of:$missing" >&2
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    echo "packages.sh: missing, and only root can install:$missing" >&2
    exit 1
fi
echo "installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# The lists may be missing or old on a fresh machine.
# shellcheck disable=SC2086 # one word per package
apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing >/dev/null; }
