"""Masks our secrets in what a failed attempt says, in whatever form the endpoint quotes them."""

from __future__ import annotations

from dataclasses import replace

from llmproxy.batteries.masking.secrets import Secrets, bare_key
from llmproxy.calls import Call, Header
from llmproxy.errors import Answer, Rest, UpstreamError
from llmproxy.providers.base import Endpoint
from llmproxy.rules.encoding import readable

MAX_DECODED_BYTES = 4 * 1024 * 1024


def conceal(
    failure: UpstreamError, secrets: Secrets, *, call: Call | None, endpoint: Endpoint
) -> None:
    """Mask the secrets in the message of a failure, and in the answer that it holds.

    The client may read its own key in an answer, but it stays out of messages, which are logged.
    """
    in_message = secrets
    if call is not None and endpoint.takes_key_of(call):
        in_message = secrets | secrets_in(endpoint.provider.brought_credential(call.headers))
    failure.message = in_message.mask_text(failure.message)
    failure.args = (failure.message,)
    if failure.answer is not None and secrets:
        failure.answer = _concealed_answer(failure.answer, secrets)


def secrets_in(headers: tuple[Header, ...]) -> Secrets:
    """Return the credentials in headers."""
    return Secrets(bare_key(value.decode("latin-1")) for _, value in headers)


def _concealed_answer(answer: Answer, secrets: Secrets) -> Answer:
    """Return the answer with masked headers and body; decoded if it is encoded and quotes one."""
    headers = [(name, secrets.mask(value)) for name, value in answer.headers]
    encoding = b",".join(value for name, value in headers if name == b"content-encoding")
    body = answer.body
    if encoding and body:
        body = readable(body, encoding, max_bytes=MAX_DECODED_BYTES) or b""
    masked = secrets.mask(body)
    if masked == body:
        masked = answer.body
    elif encoding:
        headers = [header for header in headers if header[0] != b"content-encoding"]
    rest = None if answer.rest is None else ConcealedRest(answer.rest, secrets)
    return replace(answer, headers=headers, body=masked, rest=rest)


class ConcealedRest:
    """The rest of an answer, masked. A secret may begin in one piece and end in the next."""

    __slots__ = ("_rest", "_secrets")

    def __init__(self, rest: Rest, secrets: Secrets) -> None:
        self._rest = rest
        self._secrets = secrets

    async def after(self, beginning: bytes) -> bytes:
        """Return both without our secrets, as far as the rest came in time."""
        return self._secrets.mask(await self._rest.after(beginning))
