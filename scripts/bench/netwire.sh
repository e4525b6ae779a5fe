# shellcheck shell=bash disable=SC2154
# Sourced by bench.sh: a network namespace wired and unwired.

cat >"$work/by-ip.sh" <<'EOF'
ip netns add bench
ip link add veth-bench type veth peer name eth0 netns bench
ip addr add 10.244.9.1/32 dev veth-bench
ip link set veth-bench up
ip route add 10.244.9.2 dev veth-bench scope host
ip -n bench link set lo up
ip -n bench addr add 10.244.9.2/24 dev eth0
ip -n bench link set eth0 up
ip -n bench route add default via 10.244.9.1
ip netns del bench
ip link del veth-bench 2>/dev/null || true
EOF
# What was made before is taken away before the next is made, and that is not measured.
gone="[ ! -s $work/n.json ] || { nsrun down -P $work/n.json | netwire down --wait; } >$work/null; : >$work/n.json; $settle"
one="nsrun up --id bench --net | netwire up --subnet 10.244.9.0/24"
made=(
    'nsrun up, netwire up' "$one >$work/n.json"
    'the same without anti-spoofing' "$one --antispoof never >$work/n.json"
    'the same with --nat and a published port' "$one --nat --publish 8080:80 2>$work/null >$work/n.json"
    'the same on a bridge' "$one --bridge bench0 >$work/n.json"
)
prepare=("$gone" "$gone" "$gone" "$gone")
if in_c wire; then
    ended="[ ! -s $work/pid ] || kill -9 \$(cat $work/pid); : >$work/pid; while ip link show wire7 >$work/null 2>&1; do :; done; $settle"
    made+=('the calls in C, in as many processes' "$work/wire hold | $work/wire up 7 >$work/pid")
    made+=('the calls in C, in one' "$work/wire one 7")
    prepare+=("$ended" "$ended")
fi
compare 'A network namespace with eth0, made' "${made[@]}"
sh -c "$gone; ${ended:-:}"
prepare=("$settle" "$settle" "$settle" "$settle")
compare 'A network namespace with eth0, address and routes, and away with it' \
    'nsrun up, netwire up; down' "nsrun up --id bench --net | netwire up --subnet 10.244.9.0/24 >$work/n.json; nsrun down -P $work/n.json | netwire down" \
    'the same with --nat and a published port' "nsrun up --id bench --net | netwire up --subnet 10.244.9.0/24 --nat --publish 8080:80 2>/dev/null >$work/n.json; nsrun down -P $work/n.json | netwire down" \
    'the same with IPv4 and IPv6' "nsrun up --id bench --net | netwire up --subnet 10.244.9.0/24 --subnet fd00:9::/64 >$work/n.json; nsrun down -P $work/n.json | netwire down" \
    'ip, eleven times' "sh $work/by-ip.sh"
