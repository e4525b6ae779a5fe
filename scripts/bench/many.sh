# shellcheck shell=bash disable=SC2154
# Sourced by bench.sh when it is named: a thousand pods up and down, and what the kernel needs for each.

many=${MANY:-1000}
mkdir "$work/many"
before=$(kernel_memory) from=$EPOCHREALTIME tries=0
for ((n = 0; n < many; n++)); do
    nsrun up --id "many$n" --net | netwire up --subnet 10.240.0.0/16 >"$work/many/$n.json"
done
up=$(rate "$many" "$from") each=$((($(kernel_memory) - before) / many)) from=$EPOCHREALTIME
for ((n = 0; n < many; n++)); do
    nsrun down -P "$work/many/$n.json" | netwire down >/dev/null
done
down=$(rate "$many" "$from")
rm -r "$work/many"
printf '\n%s pods with a pause, a network namespace and eth0\n' "$many"
printf '  %-44s %10s %10s %12s\n' '' 'up 1/s' 'down 1/s' 'kernel kB'
printf '  %-44s %10s %10s %12s\n' 'nsrun up, netwire up; down' "$up" "$down" "$each"
if in_c wire; then
    # Dead namespaces go in the background; their memory would be taken for that of the next ones.
    until [ "$(kernel_memory)" -lt $((before + many * 40)) ] || [ $((tries += 1)) -gt 100 ]; do sleep 0.1; done
    # Two descriptors of each are open at a time.
    read -r up each < <(ulimit -n 4096 && "$work/wire" rate "$many")
    printf '  %-44s %10s %10s %12s\n' 'the calls in C, one process, without pause' "$up" - "$each"
fi
