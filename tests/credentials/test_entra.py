"""Entra tokens for Azure: the scope of each style, and azure-identity's credentials."""

import asyncio
from dataclasses import dataclass

import pytest

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.credentials import CloudCredentials
from llmproxy.batteries.credentials.entra import azure_identity
from llmproxy.batteries.credentials.renewed import Lasting
from llmproxy.calls import Outgoing
from llmproxy.errors import CredentialRejected
from llmproxy.providers import endpoints_of
from tests.support.run import bounded

V1 = "base_url: https://east.openai.azure.com/openai/v1/"
CLASSIC = "azure_endpoint: https://east.openai.azure.com, api_version: 2024-10-21"
REQUEST = Outgoing(b"POST", b"/openai/v1/chat/completions", b"host: east\r\n", b"{}")


def endpoints(address):
    text = f"""
model_groups:
  - model_group: g
    models:
      - model: m
        params: {{{address}, azure_ad_token_provider: managed_identity}}
"""
    return endpoints_of(parse_config(text, {}, file="x"))


@dataclass
class Source:
    """A fake of azure-identity: issues numbered tokens that last an hour."""

    now: float = 1000.0
    count: int = 0
    failing: Exception | None = None

    def token_of(self, kind, scope):
        def fetch():
            if self.failing:
                raise self.failing
            self.count += 1
            token = f"{kind} {scope} {self.count}".encode()
            return Lasting(token, self.now + 3300, self.now + 3600)

        return fetch

    def credentials(self):
        return CloudCredentials({"entra": self.token_of}, wall=lambda: self.now)


@pytest.mark.parametrize(
    ("address", "scope"),
    [
        (V1, b"https://ai.azure.com/.default"),
        (CLASSIC, b"https://cognitiveservices.azure.com/.default"),
    ],
)
@bounded()
async def test_a_token_for_the_styles_own_scope_is_sent_as_bearer(address, scope):
    (endpoint,) = Source().credentials().authorized(endpoints(address))["g"]
    outgoing, credential = await endpoint.authorize(REQUEST)
    token = b"Bearer managed_identity " + scope + b" 1"
    assert credential == ((b"authorization", token),)
    assert outgoing.head == b"host: east\r\nauthorization: " + token + b"\r\n"
    assert (outgoing.target, outgoing.body) == (REQUEST.target, REQUEST.body)


@bounded()
async def test_a_reload_keeps_the_tokens_and_the_endpoints_state():
    source = Source()
    credentials = source.credentials()
    before, after = (credentials.authorized(endpoints(V1))["g"][0] for _ in range(2))
    assert before == after
    await asyncio.gather(*(endpoint.authorize(REQUEST) for endpoint in (before, after, before)))
    assert source.count == 1


@bounded()
async def test_without_a_token_nothing_is_sent():
    source = Source(failing=RuntimeError("IMDS is unreachable"))
    (endpoint,) = source.credentials().authorized(endpoints(V1))["g"]
    with pytest.raises(CredentialRejected, match="no Entra token: IMDS is unreachable") as caught:
        await endpoint.authorize(REQUEST)
    assert not caught.value.sent


@pytest.mark.parametrize("kind", ["default", "managed_identity", "cli"])
def test_the_credentials_of_azure_identity_can_be_made(kind):
    assert callable(azure_identity(kind).get_token)
