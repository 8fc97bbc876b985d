"""The names that a client proves with its certificate, as configs write them.

`URI:spiffe://...`, `DNS:...`, `CN:...` and `sha256:...` (of the whole certificate).
"""

from __future__ import annotations

import ssl
from hashlib import sha256
from typing import Any


def names_of(connection: ssl.SSLObject) -> tuple[str, ...]:
    """Return the names in a client's certificate; none if it sent none. OpenSSL has checked its
    chain, its dates and that it is for clients."""
    der = connection.getpeercert(binary_form=True)
    if der is None:
        return ()
    found: Any = connection.getpeercert() or {}
    names = [f"sha256:{sha256(der).hexdigest()}"]
    alternatives = found.get("subjectAltName", ())
    names += [f"{kind}:{name}" for kind, name in alternatives if kind == "URI"]
    names += [f"{kind}:{name.lower()}" for kind, name in alternatives if kind == "DNS"]
    for part in found.get("subject", ()):
        names += [f"CN:{value}" for key, value in part if key == "commonName"]
    return tuple(names)
