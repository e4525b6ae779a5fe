"""SCTP without a library: one-to-one sockets where the kernel has the protocol, and its first packet where it has not.

usage: sctp.py serve ADDRESS PORT TEXT   answers each connection with TEXT and who asks, until it is killed
       sctp.py ask ADDRESS PORT          prints the answer
       sctp.py hear ADDRESS              prints the first packet that comes to ADDRESS, and refuses
       sctp.py init ADDRESS PORT         sends the first packet from port 40000, prints what comes back
       sctp.py send ADDRESS PORT         sends it from port 40001, and nothing more
"""
import ipaddress
import socket
import struct
import sys

# For whoever is slow: what is waited for comes, or the test fails.
SECONDS = 60
INIT, ABORT = 1, 6
KINDS = {INIT: "INIT", ABORT: "ABORT"}
SCTP = 132


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def packet(source, to, tag, chunk):
    """RFC 9260, 3.1; the checksum is the one number that is little endian."""
    head = struct.pack("!HHI", source, to, tag)
    return head + struct.pack("<I", crc32c(head + bytes(4) + chunk)) + chunk


def family(address):
    return socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET


def raw(address):
    made = socket.socket(family(address), socket.SOCK_RAW, SCTP)
    made.settimeout(SECONDS)
    return made


def parse(got, peer):
    """Of IPv4 a raw socket has the header as well."""
    if ":" not in peer[0]:
        got = got[(got[0] & 15) * 4:]
    source, to, _, checksum, kind = struct.unpack("!HHI4sB", got[:13])
    good = struct.pack("<I", crc32c(got[:8] + bytes(4) + got[12:])) == checksum
    return source, to, KINDS.get(kind, kind), good


def serve(address, port, text):
    # Bound to one address, as who is behind a translation has to be: others would be told to the other side.
    server = socket.socket(family(address), socket.SOCK_STREAM, SCTP)
    server.bind((address, int(port)))
    server.listen(16)
    print("ready", flush=True)
    while True:
        one, peer = server.accept()
        one.sendall(f"{text} {peer[0]}".encode())
        one.close()


def ask(address, port):
    with socket.socket(family(address), socket.SOCK_DGRAM) as way:
        way.connect((address, 9))
        source = way.getsockname()[0]
    one = socket.socket(family(address), socket.SOCK_STREAM, SCTP)
    one.settimeout(SECONDS)
    one.bind((source, 0))
    one.connect((address, int(port)))
    print(one.recv(999).decode())


def hear(address):
    ear = raw(address)
    ear.bind((address, 0))
    print("ready", flush=True)
    try:
        got, peer = ear.recvfrom(999)
    except TimeoutError:
        return print("nothing")
    source, to, kind, good = parse(got, peer)
    print(f"{kind} from {peer[0]} {source} to {to}" if good else "a wrong checksum")
    # As from a port at which nobody listens: back by the way it came.
    tag = got[-16:-12]
    ear.sendto(packet(to, source, int.from_bytes(tag, "big"), struct.pack("!BBH", ABORT, 0, 4)), peer)


def send(address, port, source=40001):
    mouth = raw(address)
    chunk = struct.pack("!BBHIIHHI", INIT, 0, 20, 0x01020304, 65536, 1, 1, 1)
    mouth.sendto(packet(source, int(port), 0, chunk), (address, 0))
    return mouth


def init(address, port):
    mouth = send(address, port, 40000)
    try:
        got, peer = mouth.recvfrom(999)
    except TimeoutError:
        return print("nothing")
    source, to, kind, _ = parse(got, peer)
    print(f"{kind} from {peer[0]} {source} to {to}")


{"serve": serve, "ask": ask, "hear": hear, "init": init, "send": send}[sys.argv[1]](*sys.argv[2:])
