#!/bin/bash
# Run by vm-systemd.sh where systemd is PID 1: what pod@.service promises, a line for each; then the machine goes down.
# shellcheck disable=SC2016,SC2034 # check evaluates its second word
set -u
status=0
# check NAME COMMAND: whether it succeeds, within a minute.
check() {
    local tries=0 said
    until said=$(eval "$2" 2>&1); do
        if [ $((tries += 1)) = 120 ]; then
            status=1
            printf 'FAILED %s\n%s\n' "$1" "$said"
            systemctl status --no-pager --full 'pod@*' 2>&1 | tail -n 40
            return
        fi
        sleep 0.5
    done
    printf 'ok %s\n' "$1"
}
manifest() {
    cat <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  restartPolicy: $2
  containers:
  - name: app
    image: busybox
    command: [sh, -c, "$3"]
    resources: {limits: {memory: 32Mi}}
YAML
}

for module in veth overlay nft_chain_nat; do modprobe -q $module; done
mkdir -p /etc/pod /var/lib/pod/images/busybox/bin
cp "$(command -v busybox)" /var/lib/pod/images/busybox/bin/
for name in sh sleep httpd echo cat trap; do ln -s busybox /var/lib/pod/images/busybox/bin/$name; done
manifest web Always 'trap exit TERM; echo served >/index.html; httpd -p 80 -h /; while :; do sleep 0.1; done' >/etc/pod/web.yaml
manifest ends Never 'exit 3' >/etc/pod/ends.yaml
systemctl daemon-reload

echo "systemd $(systemctl --version | head -n 1), cgroups $(stat -fc %T /sys/fs/cgroup)"
# Type=notify: start returns when the pod is up, so all of this holds at once.
systemctl start pod@web
first=$(pod ls | tail -n 1)
check 'start returns when it runs' 'case $first in "web "*"1/1 "*"Running "*10.244.0.*) ;; *) echo "$first"; false ;; esac'
check 'the service is active' 'systemctl is-active pod@web'
ip=${first##* }
check 'it serves' '[ "$(curl -sS -m 10 http://$ip/)" = served ]'
holder() { pgrep -xo pause; }
check 'its groups are below the service, and delegated' 'grep -q "^0::/system.slice/system-pod.slice/pod@web.service/pod-web/pause$" /proc/$(holder)/cgroup'
check 'its limit holds' '[ "$(cat /sys/fs/cgroup/system.slice/system-pod.slice/pod@web.service/pod-web/app/memory.max)" = 33554432 ]'
check 'systemd counts what it uses' '[ "$(systemctl show -P TasksCurrent pod@web)" -ge 4 ]'
check 'a command runs in it' '[ "$(pod exec web -- cat /index.html)" = served ]'

old=$(systemctl show -P MainPID pod@web) oldest=$(holder)
kill -KILL "$old"
check 'a supervisor that is killed is started again' '[ "$(systemctl show -P MainPID pod@web)" != $old ] && systemctl is-active pod@web && [ "$(holder)" != $oldest ]'
check 'and the pod with it' 'ip=$(pod ls | tail -n 1); [ "$(curl -sS -m 10 http://${ip##* }/)" = served ]'
systemctl restart pod@web
check 'restart is a stop and a start' 'systemctl is-active pod@web && [ "$(pod ls | grep -c "^web .*Running")" = 1 ]'

systemctl stop pod@web
check 'stop is a good end' '[ "$(systemctl show -P Result pod@web)" = success ] && [ "$(systemctl is-active pod@web)" = inactive ]'
check 'and leaves nothing' '! ls /run/chroot0 2>/dev/null && ! holder && ! ip -o link | grep veth && [ ! -e /sys/fs/cgroup/system.slice/system-pod.slice/pod@web.service ]'

systemctl start pod@ends
check 'a pod that fails is a service that failed, once' '[ "$(systemctl show -P Result,NRestarts pod@ends | sort | tr "\n" " ")" = "0 exit-code " ]'
check 'and it is there to be looked at' 'pod ls | grep "^ends .*Failed"'
pod down ends
check 'until it is taken down' '! ls /run/chroot0 2>/dev/null'
systemctl start pod@none
check 'without a manifest it says which' 'journalctl -u pod@none | grep "open(/etc/pod/none.yaml): No such file"'
echo "VM-EXIT $status"
sync
systemctl reboot -ff
