# shellcheck shell=bash disable=SC2154
# Sourced by bench.sh: bytes and connections to a server on a pod's loopback.

nsrun exec -P "$work/held.json" -- ip link set lo up
if command -v python3 >/dev/null; then
    python3 "$parts/forward.py" "$work/held.json" "${RUNS:-9}"
else
    printf '\nno python3: nothing is sent through netwire forward\n'
fi
