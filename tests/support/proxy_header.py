"""PROXY headers of version 2, as a load balancer writes them."""

import struct
from ipaddress import ip_address

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(source, target, ports=(51234, 443), *, command=0x21, family=None, extra=b"", length=None):
    packed = ip_address(source).packed + ip_address(target).packed + struct.pack("!HH", *ports)
    family = {4: 0x11, 16: 0x21}[len(ip_address(source).packed)] if family is None else family
    rest = packed + extra
    head = struct.pack("!BBH", command, family, len(rest) if length is None else length)
    return SIGNATURE + head + rest
