"""forward.py RECORD RUNS: sends through `netwire forward` and through socat to a server on the pod's loopback, in turn.

socat 1.7 cannot enter a namespace, so each connection is taken here and handed to one that is started in the pod's, as CRI
runtimes do it. Of both, the rate and the processor time are measured.
"""
import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time

record, runs = sys.argv[1], int(sys.argv[2])
MIB = 1 << 20
BYTES = 512 * MIB
CONNECTIONS = 200
IN_POD = ["nsrun", "exec", "-P", record, "--"]
SERVER = """
import socket, threading
def serve(connection):
    buffer = bytearray(1 << 20)
    count = 0
    while part := connection.recv_into(buffer):
        count += part
    connection.sendall(b"%d" % count)
    connection.close()
listener = socket.create_server(("127.0.0.1", 9000), backlog=4096)
print(flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
processes = []


def start(*command, **options):
    processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options))
    return processes[-1]


class Socat:
    """Starts a socat for each connection."""

    def __init__(self):
        self.seconds = 0.0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        self.busy = threading.Lock()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection = self.listener.accept()[0]
            fd = connection.fileno()
            with self.busy:
                socat = subprocess.Popen([*IN_POD, "socat", f"FD:{fd}", "TCP:127.0.0.1:9000"], pass_fds=[fd])
                connection.close()
                usage = os.wait4(socat.pid, 0)[2]
                self.seconds += usage.ru_utime + usage.ru_stime

    def spent(self):
        with self.busy:
            return self.seconds


class Forward:
    """One process for all."""

    def __init__(self):
        forward = start("netwire", "forward", "-P", record, "127.0.0.1::9000")
        self.port = int(forward.stdout.readline().split()[0].rsplit(":", 1)[1])
        assert forward.stdout.readline() == "ready\n"
        self.pid = forward.pid

    def spent(self):
        # In nanoseconds, unlike /proc/PID/stat; of the thread that works, and of the one that waits for it.
        tasks = f"/proc/{self.pid}/task"
        return sum(int(open(f"{tasks}/{task}/schedstat").read().split()[0]) for task in os.listdir(tasks)) / 1e9


def ask(port, data, times):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for _ in range(times):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert int(connection.recv(100)) == len(data) * times


def one(side, data, times, connections):
    before, begin = side.spent(), time.monotonic()
    for _ in range(connections):
        ask(side.port, data, times)
    wall = time.monotonic() - begin
    return wall, side.spent() - before


def measure(title, unit, amount, sides, *load):
    results = {name: [] for name in sides}
    for at in range(runs + 1):
        for name, side in sides.items():
            answer = one(side, *load)
            if at:  # the first is for warming up
                results[name].append(answer)
    print(f"\n{title}\n  {'':44} {unit:>10} {'cpu ms':>10} {'rate x':>8} {'cpu x':>8}")
    medians = {name: [statistics.median(column) for column in zip(*of)] for name, of in results.items()}
    ours = medians["netwire forward"]
    for name, (wall, cpu) in medians.items():
        print(f"  {name:44} {amount / wall:10.0f} {cpu * 1000:10.1f} {ours[0] / wall:8.2f} {cpu / ours[1]:8.2f}")


try:
    start(*IN_POD, "python3", "-c", SERVER).stdout.readline()
    sides = {"netwire forward": Forward()}
    if shutil.which("socat"):
        sides["socat"] = Socat()
    else:
        print("\nno socat: nothing to compare netwire forward with")
    title = f"{BYTES // MIB} MiB to a server on the pod's loopback"
    measure(title, "MiB/s", BYTES / MIB, sides, bytes(MIB), BYTES // MIB, 1)
    title = f"{CONNECTIONS} connections to it, one after the other"
    measure(title, "per s", CONNECTIONS, sides, b"x", 1, CONNECTIONS)
finally:
    for process in processes:
        process.terminate()
        process.wait()
