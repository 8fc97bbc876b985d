"""Instances that share keys through one database."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

import anyio

from llmproxy.batteries.keys import Keys, KnownKeys
from llmproxy.batteries.keys.key_administration import KeyAdministration
from llmproxy.batteries.keys.team_administration import TeamAdministration
from llmproxy.batteries.store import Database, address_of
from llmproxy.errors import ClientError, Overload

DATABASES = ("sqlite", "postgres")


@dataclass
class KeyInstance:
    """One instance: what it knows, and what its operator does."""

    known: KnownKeys
    keys: KeyAdministration
    teams: TeamAdministration

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
async def key_instance(url, folder=None, *, within_s=10.0):
    """An instance with these keys, until the block ends. `folder`: of the state of a server's."""
    environ = {} if folder is None else {"STATE_DIRECTORY": str(folder)}
    database, keys = Database(address_of(url, environ), within_s=within_s), Keys()
    try:
        async with keys.open(database):
            yield KeyInstance(keys.known, await keys.keys(), await keys.teams())
    finally:
        await database.close()
