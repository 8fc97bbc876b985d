"""Masking: the secrets of the config stay out of logs, errors and answers that quote them.

The only module of this package that others import. Without it, an endpoint's words pass
unchanged, except that our own messages hide what looks like a key (docs/decisions/040).
"""

from __future__ import annotations

from typing import cast

from llmproxy.batteries.masking.failures import conceal, secrets_in
from llmproxy.batteries.masking.of_endpoints import secrets_of
from llmproxy.batteries.masking.secrets import NO_SECRETS, Secrets
from llmproxy.calls import Call, Header
from llmproxy.errors import UpstreamError
from llmproxy.providers.base import Endpoint
from llmproxy.streams import Mask

__all__ = ["NO_SECRETS", "EndpointSecrets", "Secrets"]


class EndpointSecrets:
    """Masks the secrets that are sent to each endpoint. Implements `Masking`."""

    def mask_of(self, endpoint: Endpoint) -> Mask:
        """Return the mask for what an endpoint answers."""
        return secrets_of(endpoint)

    def conceal(
        self,
        failure: UpstreamError,
        call: Call | None,
        endpoint: Endpoint,
        credential: tuple[Header, ...],
    ) -> None:
        """Mask the message of a failed attempt, and the answer that it holds."""
        secrets = cast("Secrets", endpoint.mask)  # made by `mask_of`
        if credential is not endpoint.credential:  # a token of Entra is in no config
            secrets |= secrets_in(credential)
        conceal(failure, secrets, call=call, endpoint=endpoint)
