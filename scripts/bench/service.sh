# shellcheck shell=bash disable=SC2154
# Sourced by bench.sh: services loaded, one more added, and what a connection through them takes.

# The same services in every format: N of them, each with two endpoints, and one more.
write_services() {
    awk -v n="$1" -v dir="$work/svc.$1" 'BEGIN {
        for (i = 1; i <= n + 1; i++) {
            more = i > n ? "1" : ""
            vip = sprintf("10.%d.%d.%d", 96 + int(i / 65536), int(i / 256) % 256, i % 256)
            printf "{\"name\":\"svc-%d\",\"vips\":[\"%s\"],\"ports\":[{\"port\":80,\"protocol\":\"tcp\",\"to\":[\"10.244.0.2:8080\",\"10.244.0.2:8081\"]}]}\n", i, vip >(dir ".json" more)
            if (n > 1000) continue
            for (k = 0; k < 2; k++) {
                flat[k] = flat[k] (flat[k] ? ", " : "") vip " . 80 : 10.244.0.2 . " (8080 + k)
                printf "add chain ip svc ep-%d-%d\nadd rule ip svc ep-%d-%d ip saddr 10.244.0.2 jump masq\nadd rule ip svc ep-%d-%d meta l4proto tcp dnat to 10.244.0.2:%d\n", i, k, i, k, i, k, 8080 + k >(dir ".kube" more ".rules")
                chains[more] = chains[more] sprintf(":SEP-%d-%d - [0:0]\n", i, k)
                rules[more] = rules[more] sprintf("-A SEP-%d-%d -s 10.244.0.2/32 -j MASQ\n-A SEP-%d-%d -p tcp -m tcp -j DNAT --to-destination 10.244.0.2:%d\n", i, k, i, k, 8080 + k)
            }
            printf "add chain ip svc svc-%d\nadd rule ip svc svc-%d numgen random mod 2 vmap { 0 : goto ep-%d-0, 1 : goto ep-%d-1 }\nadd element ip svc vip { %s . tcp . 80 : goto svc-%d }\n", i, i, i, i, vip, i >(dir ".kube" more ".rules")
            chains[more] = chains[more] sprintf(":SVC-%d - [0:0]\n", i)
            rules[more] = rules[more] sprintf("-A SERVICES -d %s/32 -p tcp -m tcp --dport 80 -j SVC-%d\n-A SVC-%d -m statistic --mode random --probability 0.5 -j SEP-%d-0\n-A SVC-%d -j SEP-%d-1\n", vip, i, i, i, i, i)
            if (i >= n) {
                if (!more) {
                    print "add table ip svf\nadd map ip svf e0 { type ipv4_addr . inet_service : ipv4_addr . inet_service; }\nadd map ip svf e1 { type ipv4_addr . inet_service : ipv4_addr . inet_service; }\nadd chain ip svf pre { type nat hook prerouting priority -100; }\nadd rule ip svf pre meta l4proto tcp numgen random mod 2 0 dnat ip to ip daddr . tcp dport map @e0\nadd rule ip svf pre meta l4proto tcp dnat ip to ip daddr . tcp dport map @e1" >(dir ".flat" more)
                    print "add table ip svc\nadd map ip svc vip { type ipv4_addr . inet_proto . inet_service : verdict; }\nadd chain ip svc masq\nadd rule ip svc masq meta mark set meta mark or 0x4000\nadd chain ip svc services\nadd rule ip svc services ip daddr . meta l4proto . th dport vmap @vip\nadd chain ip svc pre { type nat hook prerouting priority -100; }\nadd chain ip svc out { type nat hook output priority -100; }\nadd rule ip svc pre jump services\nadd rule ip svc out jump services" >(dir ".kube")
                    heads = ":SERVICES - [0:0]\n:MASQ - [0:0]\n"
                    hooks = "-A PREROUTING -j SERVICES\n-A OUTPUT -j SERVICES\n-A MASQ -j MARK --set-xmark 0x4000/0x4000\n"
                } else heads = hooks = ""
                for (k = 0; k < 2; k++) { printf "add element ip svf e%d { %s }\n", k, flat[k] >(dir ".flat" more); flat[k] = "" }
                printf "*nat\n%s%s%s%sCOMMIT\n", heads, chains[more], hooks, rules[more] >(dir ".iptables" more)
            }
        }
    }'
    [ -e "$work/svc.$1.kube.rules" ] || return 0
    cat "$work/svc.$1.kube.rules" >>"$work/svc.$1.kube"
    mv "$work/svc.$1.kube1.rules" "$work/svc.$1.kube1"
}

all_runs=$runs runs=${SERVICE_RUNS:-10}
write_services 1000
write_services 10000
gone="netwire service down --all; $settle"
ours="$work/svc.1000"

prepare=("$gone" "nft delete table ip svf 2>/dev/null; $settle" "nft delete table ip svc 2>/dev/null; $settle")
load=('netwire service up' "netwire service up <$ours.json >/dev/null"
    'nft -f, two flat maps' "nft -f $ours.flat"
    'nft -f, as kube-proxy' "nft -f $ours.kube")
# What the kernel makes of the same messages, when nobody has to read, check, keep and write them first.
in_kernel() { strace -v -xx -s 99999999 -e trace=sendmsg -o "$work/sent" "${@:2}" && python3 "$parts/batch.py" <"$work/sent" >"$1"; }
# netwire knows nothing of it then.
forgotten="nft delete table inet chroot0-services 2>/dev/null; $gone"
replay=
! in_c replay || replay=$work/replay
if [ -n "$replay" ]; then
    in_kernel "$ours.batch" netwire service up <"$ours.json"
    prepare[0]=$forgotten prepare+=("$forgotten")
    load+=('its messages alone, in C' "$replay $ours.batch")
fi
if command -v iptables-restore >/dev/null; then
    prepare+=("nft delete table ip nat 2>/dev/null; $settle")
    load+=('iptables-restore' "iptables-restore --noflush $ours.iptables")
fi
compare '1 000 services with two endpoints each' "${load[@]}"

netwire service down --all; netwire service up <"$ours.json"
one='netwire service up one --vip 10.200.0.1 --port 80 --to 10.244.0.2:8080 --to 10.244.0.2:8081'
prepare=("netwire service down one; $settle" "nft delete table ip svf; nft -f $ours.flat; $settle" "nft delete table ip svc; nft -f $ours.kube; $settle")
add=('netwire service up' "$one"
    'nft -f, two flat maps' "nft -f $ours.flat1"
    'nft -f, as kube-proxy' "nft -f $ours.kube1")
if [ -n "$replay" ]; then
    # shellcheck disable=SC2086 # words
    in_kernel "$ours.batch1" $one
    prepare[0]="$forgotten; netwire service up <$ours.json; $settle" prepare+=("${prepare[0]}")
    add+=('its messages alone, in C' "$replay $ours.batch1")
fi
if command -v iptables-restore >/dev/null; then
    prepare+=("nft delete table ip nat; iptables-restore --noflush <$ours.iptables; $settle")
    add+=('iptables-restore' "iptables-restore --noflush $ours.iptables1")
fi
compare 'One more' "${add[@]}"
nft delete table ip svf; nft delete table ip svc; nft delete table ip nat 2>/dev/null || :

prepare=("$gone")
if [ -n "$replay" ]; then
    netwire service down --all
    in_kernel "$work/svc.10000.batch" netwire service up <"$work/svc.10000.json"
    prepare=("$forgotten" "$forgotten")
fi
compare '10 000 services' 'netwire service up' "netwire service up <$work/svc.10000.json >/dev/null" \
    ${replay:+'its messages alone, in C' "$replay $work/svc.10000.batch"}
nft delete table inet chroot0-services
netwire service down --all; netwire service up <"$work/svc.10000.json"
prepare=("netwire service down one; $settle")
compare 'One more' 'netwire service up' "$one"
netwire service down --all
runs=$all_runs

# A connection from another pod, to the endpoint itself without any table and with NAT for an address that nobody asks for, which has
# the kernel follow every connection, and with 10 000 services to it and through two of them; in turn, five times.
if in_c connect; then
    nsrun up --id asker --net | netwire up --subnet 10.244.0.0/24 >"$work/asker.json"
    coproc { exec nsrun exec -P "$work/held.json" -- "$work/connect" serve 8080; }
    server=$COPROC_PID
    read -r _ <&"${COPROC[0]}"
    sed 's/,"10.244.0.2:8081"//' "$work/svc.10000.json" >"$work/single.json"
    ask() { nsrun exec -P "$work/asker.json" -- "$work/connect" "${CONNECTS:-3000}" "$@"; }
    for _ in 1 2 3 4 5; do
        netwire service down --all
        echo "none $(ask 10.244.0.2 8080)"
        nft "add table ip idle; add chain ip idle pre { type nat hook prerouting priority -100; }
            add rule ip idle pre ip daddr 192.0.2.1 dnat to 192.0.2.2"
        echo "idle $(ask 10.244.0.2 8080)"
        nft delete table ip idle
        netwire service up <"$work/single.json"
        echo "with $(ask 10.244.0.2 8080 10.96.0.1 80 10.96.39.16 80)"
    done >"$work/latency"
    kill "$server"
    netwire service down --all
    nsrun down -P "$work/asker.json" | netwire down >/dev/null
    printf '\nA connection, in microseconds\n'
    awk '{ k = $1; for (i = 2; i <= NF; i++) v[k i] = v[k i] " " $i }
        function median(text,   n, a, i, j, t) {
            n = split(text, a, " ")
            for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (a[j] + 0 < a[i] + 0) { t = a[i]; a[i] = a[j]; a[j] = t }
            return a[int((n + 1) / 2)]
        }
        function line(name, value) { printf "  %-44s %10.2f %10s %8.2f\n", name, value, "", value / first }
        END {
            first = median(v["with3"])
            line("through service 1 of 10 000", first)
            line("through service 10 000", median(v["with4"]))
            line("to the endpoint, beside the services", median(v["with2"]))
            line("to the endpoint, beside NAT for another", median(v["idle2"]))
            line("to the endpoint, without any table", median(v["none2"]))
        }' "$work/latency"
fi
