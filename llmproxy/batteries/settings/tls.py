"""The section `tls`, and names of certificates."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field
from pydantic.functional_validators import AfterValidator

from llmproxy.config import checks
from llmproxy.config.base import Section, Text

_SHA_256 = re.compile("[0-9a-f]{64}")


def _certificate_name(value: str) -> str:
    """Check a name in a certificate; return it as the certificate's are written."""
    kind, _, name = value.partition(":")
    match kind.upper():
        case "URI" if ":" in name:
            return f"URI:{name}"
        case "DNS" if name and "*" not in name:
            return f"DNS:{name.lower()}"
        case "CN" if name:
            return f"CN:{name}"
        case "SHA256" if _SHA_256.fullmatch(digest := name.replace(":", "").lower()):
            return f"sha256:{digest}"
    return checks.refuse(
        "found {value}, which is no name in a certificate.",
        "Write URI:spiffe://example.org/search, DNS:search.example.com, CN:search, or sha256: and "
        "64 hex digits (openssl x509 -noout -fingerprint -sha256). There are no patterns.",
    )


CertificateName = Annotated[Text, AfterValidator(_certificate_name)]


class TlsSettings(Section):
    """The certificate of the proxy, and whose certificates it accepts."""

    cert: Text = Field(
        description="A PEM file: the certificate, then those that signed it. Renewed files are "
        "loaded while calls go on."
    )
    key: Text = Field(description="A PEM file with the private key, not encrypted.")
    client_ca: Text | None = Field(
        default=None,
        description="A PEM file with the authorities whose certificates clients may send; callers "
        "are named by them (`callers[].certificates`). Default: clients send none.",
    )
    client_certificate: Literal["required", "optional"] = Field(
        default="required",
        description="With `client_ca`. `required`: a client without a certificate cannot connect, "
        "and neither can a kubelet's probes. `optional`: it is like any other client.",
    )

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of all files."""
        return tuple(path for path in (self.cert, self.key, self.client_ca) if path is not None)

    @property
    def admits_by_certificate(self) -> bool:
        """Whether nobody gets in without a certificate."""
        return self.client_ca is not None and self.client_certificate == "required"
