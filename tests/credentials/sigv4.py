"""A second opinion of Signature Version 4, written from AWS's description of it: what AWS does with
a request that it gets. docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html"""

import hashlib
import hmac
import re
from urllib.parse import quote

ACCESS_KEY = "AKIDEXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
    r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
)


def scope_of(received):
    """Return the service and the region for which a request is signed."""
    _, _, region, service, *_ = _AUTHORIZATION.fullmatch(received.header("authorization")).groups()
    return service, region


def is_genuine(received, secret_key=SECRET_KEY):
    """Return whether the holder of a key signed just this request."""
    parts = _AUTHORIZATION.fullmatch(received.header("authorization"))
    _, day, region, service, signed, given = parts.groups()
    method, target, _ = received.line.split(" ")
    path, _, query = target.partition("?")
    names = signed.split(";")
    canonical = "\n".join(
        [
            method,
            quote(path, safe="/~"),
            "&".join(sorted(query.split("&"), key=lambda pair: pair.split("="))) if query else "",
            *(f"{name}:{' '.join(received.header(name).split())}" for name in names),
            "",
            signed,
            hashlib.sha256(received.body).hexdigest(),
        ]
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    to_sign = "\n".join(
        [
            "AWS4-HMAC-SHA256",
            received.header("x-amz-date"),
            scope,
            hashlib.sha256(canonical.encode()).hexdigest(),
        ]
    )
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(key, to_sign.encode(), "sha256").hex(), given)
