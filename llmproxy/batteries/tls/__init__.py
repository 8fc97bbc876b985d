"""TLS in the process: certificates, their renewal, and callers that are named by certificates.

The only module of this package that others import. Without it, a config with `tls` is refused.
"""

from llmproxy.batteries.tls.certificate import first_pem
from llmproxy.batteries.tls.handshake import Failure, being_accepted, failure_of
from llmproxy.batteries.tls.loading import context_of, problems_of, warnings_of
from llmproxy.batteries.tls.names import names_of
from llmproxy.batteries.tls.renewal import Tls, TlsStatus

__all__ = [
    "Failure",
    "Tls",
    "TlsStatus",
    "being_accepted",
    "context_of",
    "failure_of",
    "first_pem",
    "names_of",
    "problems_of",
    "warnings_of",
]
