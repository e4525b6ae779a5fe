# shellcheck shell=bash disable=SC2154
# Sourced by bench.sh when it is named: what TCP carries to a pod, from one to another, and through a published port, beside
# veth pairs made by hand. Each is measured for two seconds, in turn, several times.

flows() {
    in_c flow || return 0
    local flow=$work/flow port=5201 round name servers=() names=() speeds=()
    nsrun up --id fa --net | netwire up --subnet 10.241.0.0/24 --ip 10.241.0.2 --publish "$port:$port" 2>/dev/null >"$work/fa.json"
    nsrun up --id fb --net | netwire up --subnet 10.241.0.0/24 --ip 10.241.0.3 >"$work/fb.json"
    # by hand: one pair, and another one with the host as their router
    nsrun up --id ha --net >"$work/ha.json"
    nsrun up --id hb --net >"$work/hb.json"
    for name in a b; do
        ip link add "hand-$name" type veth peer name eth0 netns "$(jq .nsrun.pid "$work/h$name.json")"
        ip address add "10.242.$((16#$name)).1/24" dev "hand-$name"
        ip link set "hand-$name" up
        echo 1 >"/proc/sys/net/ipv4/conf/hand-$name/forwarding"
        nsrun exec -P "$work/h$name.json" -- sh -c "ip address add 10.242.$((16#$name)).2/24 dev eth0; ip link set eth0 up; ip route add default via 10.242.$((16#$name)).1"
    done
    for name in fa ha; do
        nsrun exec -P "$work/$name.json" -- "$flow" serve "$port" &
        servers+=($!)
    done
    # Somebody listens when a connection is taken.
    for name in 10.241.0.2 10.242.10.2; do
        until "$flow" send "$name" "$port" 0 >/dev/null 2>&1; do :; done
    done
    names=('host to a veth by hand' 'host to pod' 'published port, from a pod' 'one veth by hand to another' 'pod to pod')
    for ((round = 0; round < ${ROUNDS:-5}; round++)); do
        speeds[0]+="$("$flow" send 10.242.10.2 "$port" 2) "
        speeds[1]+="$("$flow" send 10.241.0.2 "$port" 2) "
        speeds[2]+="$(nsrun exec -P "$work/fb.json" -- "$flow" send 10.241.0.1 "$port" 2) "
        speeds[3]+="$(nsrun exec -P "$work/hb.json" -- "$flow" send 10.242.10.2 "$port" 2) "
        speeds[4]+="$(nsrun exec -P "$work/fb.json" -- "$flow" send 10.241.0.2 "$port" 2) "
    done
    kill "${servers[@]}"
    printf '\nTCP, MB/s\n  %-44s %10s %10s\n' '' median best
    for name in "${!names[@]}"; do
        tr ' ' '\n' <<<"${speeds[name]}" | grep . | sort -n |
            awk -v name="${names[name]}" '{ at[NR] = $1 } END { printf "  %-44s %10d %10d\n", name, at[int((NR + 1) / 2)], at[NR] }'
    done
    for name in fa fb ha hb; do nsrun down -P "$work/$name.json" | netwire down >/dev/null; done
}
flows
