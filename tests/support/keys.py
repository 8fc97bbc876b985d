"""Instances that share keys through one database."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

import anyio

from llmproxy.batteries.keys import KeyService, KnownKeys, open_keys
from llmproxy.batteries.store import Database, address_of
from llmproxy.errors import ClientError, Overload
from tests.support.postgres import postgres

DATABASES = ("sqlite", "postgres")


@asynccontextmanager
async def database_url(kind, folder):
    """The URL of a new database."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/keys.sqlite"
    else:
        async with postgres() as url:
            yield url


@dataclass
class KeyInstance:
    """One instance: what it knows, and what its operator does."""

    known: KnownKeys
    service: KeyService
    database: Database

    def answers(self, secret):
        """The name of the key, or the code of the refusal."""
        try:
            return self.known.identity_of(secret.encode()).name
        except (ClientError, Overload) as error:
            return error.code

    async def until(self, secret, answer, within_s=20.0):
        """Wait until a key is answered so; return the seconds."""
        began = monotonic()
        while (found := self.answers(secret)) != answer:
            assert monotonic() - began < within_s, f"{found} instead of {answer}"
            await anyio.sleep(0.01)
        return monotonic() - began


@asynccontextmanager
async def key_instance(url, *, place=None, within_s=10.0):
    """An instance with these keys, until the block ends."""
    database = Database(address_of(url, {}), within_s=within_s)
    known = KnownKeys()
    try:
        opening = open_keys(known, database, place=place, database_name=str(database.address))
        async with opening as service:
            yield KeyInstance(known, service, database)
    finally:
        await database.close()
