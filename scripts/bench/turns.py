"""turns.py RUNS TITLE [--prepare COMMAND]... NAME COMMAND [NAME COMMAND]...: what each command takes, the first being ours.

They run in turn, one of each a round and another one first in each: whatever else a shared machine does meets all of them alike.
A command is split as a shell does it and runs without one; what has to be done before it, and is not measured, gets sh.
Prints the median and the least of each, in milliseconds, and the median of how many times ours it took in the same round.
"""
import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

WARM_UP = 3

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("runs", type=int)
parser.add_argument("title")
parser.add_argument("--prepare", action="append", default=[])
parser.add_argument("commands", nargs="+")
arguments = parser.parse_args()
names = arguments.commands[::2]
commands = [shlex.split(command) for command in arguments.commands[1::2]]
programs = [shutil.which(command[0]) or sys.exit(f"turns.py: no {command[0]}") for command in commands]
errors = tempfile.TemporaryFile()
streams = [
    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
]


def milliseconds(index):
    """What the command takes from before it is started until it has ended."""
    if arguments.prepare:
        subprocess.run(["sh", "-c", arguments.prepare[index]], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    begin = time.monotonic_ns()
    pid = os.posix_spawn(programs[index], commands[index], os.environ, file_actions=streams)
    _, status = os.waitpid(pid, 0)
    taken = time.monotonic_ns() - begin
    if status:
        errors.seek(0)
        sys.exit(f"{shlex.join(commands[index])}: status {os.waitstatus_to_exitcode(status)}\n{errors.read().decode()}")
    return taken / 1e6


rounds = []
for turn in range(WARM_UP + arguments.runs):
    taken = [0.0] * len(commands)
    for step in range(len(commands)):
        index = (turn + step) % len(commands)
        taken[index] = milliseconds(index)
    rounds.append(taken)
rounds = rounds[WARM_UP:]
print(f"\n{arguments.title}\n  {'':44} {'median ms':>10} {'min ms':>10} {'x ours':>8}")
for index, name in enumerate(names):
    each = [taken[index] for taken in rounds]
    ratio = statistics.median(taken[index] / taken[0] for taken in rounds)
    print(f"  {name:44} {statistics.median(each):10.3f} {min(each):10.3f} {ratio:8.2f}")
