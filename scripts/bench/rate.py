"""rate.py RATE...: what passes of each rate, both ways, as a part of what was asked for. Headers count for the kernel, so a stream
of TCP in packets of 1500 bytes cannot have more than 0.956; what may come at once makes that a little more.
"""
import json
import subprocess
import sys

UNITS = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
TRANSFER = """
import socket, sys, time
if sys.argv[1] == "listen":
    listener = socket.create_server(("", 9000))
    print(flush=True)
    connection = listener.accept()[0]
    begin, count, buffer = time.monotonic(), 0, bytearray(1 << 16)
    while part := connection.recv_into(buffer):
        count += part
    print(count / (time.monotonic() - begin))
else:
    connection = socket.create_connection((sys.argv[2], 9000))
    connection.sendall(bytes(int(sys.argv[3])))
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
"""


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def passed(record, wanted):
    """Of both directions: into the pod, and out of it."""
    enter = ["nsrun", "exec", "-P", record, "--"]
    pod = json.load(open(record))["netwire"]["attachments"][0]["address"]
    for listener, sender, address in ((enter, [], pod), ([], enter, "10.244.8.1")):
        command = [*listener, "python3", "-c", TRANSFER, "listen"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiving:
            receiving.stdout.readline()
            # some three seconds, and not more than a gigabyte
            size = str(int(min(3 * wanted / 8, 1 << 30)))
            run(*sender, "python3", "-c", TRANSFER, "send", address, size)
            yield float(receiving.stdout.read()) * 8 / wanted


print(f"\nWhat passes of a rate, as a part of it\n  {'':44} {'in':>10} {'out':>10}")
for rate in sys.argv[1:]:
    wanted = float(rate[:-4]) * UNITS[rate[-4:]]
    record = f"{rate}.json"
    with open(record, "w") as file:
        made = run("nsrun", "up", "--id", "rated", "--net")
        file.write(run("netwire", "up", "--subnet", "10.244.8.0/24", "--rate", rate, input=made))
    try:
        inside, outside = passed(record, wanted)
        print(f"  {'netwire up --rate ' + rate:44} {inside:10.3f} {outside:10.3f}")
    finally:
        run("netwire", "down", input=run("nsrun", "down", "-P", record))
