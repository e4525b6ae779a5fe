# shellcheck shell=bash disable=SC2154
# Sourced by bench.sh: a whole pod.

compare 'A whole pod, up and down' \
    'the pipe' "cgset up --id bench memory.max=64Mi pids.max=50 | nsrun up --net --ipc --uts | netwire up --subnet 10.244.9.0/24 >$work/p.json; nsrun down -P $work/p.json | netwire down | cgset down"
