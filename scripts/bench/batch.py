"""What netwire sent to nftables, out of `strace -v -xx -s 99999999 -e trace=sendmsg` on stdin, to stdout: its largest message, without
the generation of the ruleset that it was made for, so that it can be sent once more."""

import re
import sys

sent = []
for line in sys.stdin:
    parts = re.findall(r'iov_base="([^"]*)"', line)
    sent.append(b"".join(bytes.fromhex(part.replace(r"\x", "")) for part in parts))
batch = max(sent, key=len)
BEGIN = 16 + 4  # nlmsghdr, nfgenmsg
first = int.from_bytes(batch[:4], sys.byteorder)
sys.stdout.buffer.write(BEGIN.to_bytes(4, sys.byteorder) + batch[4:BEGIN] + batch[first:])
