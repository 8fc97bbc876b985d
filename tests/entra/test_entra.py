"""Entra tokens: fetched once, reused, refreshed early; without one, the credential is rejected."""

import asyncio
from dataclasses import dataclass

import pytest

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.entra.credentials import EntraCredentials, azure_identity
from llmproxy.errors import CredentialRejected
from llmproxy.providers import endpoints_of
from tests.support.run import bounded

ENDPOINT = endpoints_of(
    parse_config(
        """
model_groups:
  - model_group: g
    models:
      - model: m
        params:
          base_url: https://east.openai.azure.com/openai/v1/
          azure_ad_token_provider: managed_identity
""",
        {},
        file="x",
    )
)["g"][0]


@dataclass
class Token:
    token: str
    expires_on: int


class Source:
    """A fake credential of azure-identity: issues numbered tokens valid for an hour, or fails."""

    def __init__(self):
        self.now = 1000.0
        self.scopes = []
        self.failing = None

    def get_token(self, *scopes):
        self.scopes += scopes
        if self.failing:
            raise self.failing
        return Token(f"token-{len(self.scopes)}", int(self.now) + 3600)

    def credentials(self):
        return EntraCredentials(lambda kind: self, wall=lambda: self.now)


@bounded()
async def test_a_token_is_fetched_once_for_many_calls_and_sent_as_bearer():
    source = Source()
    credentials = source.credentials()
    headers = await asyncio.gather(*(credentials.headers(ENDPOINT) for _ in range(20)))
    assert set(headers) == {((b"authorization", b"Bearer token-1"),)}
    assert source.scopes == ["https://ai.azure.com/.default"]
    credentials.close()


@bounded()
async def test_a_token_is_refreshed_five_minutes_early_and_reused_while_the_refresh_fails():
    source = Source()
    credentials = source.credentials()
    await credentials.headers(ENDPOINT)
    source.now += 3600 - 301
    assert (await credentials.headers(ENDPOINT))[0][1] == b"Bearer token-1"
    source.now += 2
    source.failing = RuntimeError("IMDS is unreachable")
    assert (await credentials.headers(ENDPOINT))[0][1] == b"Bearer token-1"
    source.failing = None
    assert (await credentials.headers(ENDPOINT))[0][1] == b"Bearer token-3"
    source.now += 4000
    source.failing = RuntimeError("IMDS is unreachable\nand more")
    with pytest.raises(CredentialRejected, match="IMDS is unreachable") as caught:
        await credentials.headers(ENDPOINT)
    assert not caught.value.sent
    credentials.close()


@pytest.mark.parametrize("kind", ["default", "managed_identity", "cli"])
def test_the_credentials_of_azure_identity_can_be_made(kind):
    assert callable(azure_identity(kind).get_token)
