# shellcheck shell=bash disable=SC2154
# Sourced by bench.sh: bytes and connections to a server on a pod's loopback, what passes of a rate, and a picture of many pods.

nsrun exec -P "$work/held.json" -- ip link set lo up
if command -v python3 >/dev/null; then
    python3 "$parts/forward.py" "$work/held.json" "${RUNS:-9}"
    (cd "$work" && python3 "$parts/rate.py" 256kbit 1mbit 10mbit 100mbit 1gbit)
else
    printf '\nno python3: nothing is sent through netwire forward, and none at a rate\n'
fi

for i in $(seq 200); do
    printf 'link add veth%d type veth peer name p%d\nlink set veth%d alias pod-%d up\nlink set p%d up\n' "$i" "$i" "$i" "$i" "$i"
    printf 'route add 10.243.0.%d/32 dev veth%d scope host\n' "$i" "$i"
done >"$work/pods"
ip -batch "$work/pods"
compare 'A picture of 200 pods' \
    'netwire show --all --svg' 'netwire show --all --svg' \
    'only asked, and not drawn, by ip' "sh -c 'ip -j -d link; ip -j route; ip -j -6 route; ip -j address'"
sed -n 's/^link add \(veth[0-9]*\) .*/link delete \1/p' "$work/pods" >"$work/no-pods"
ip -batch "$work/no-pods"
