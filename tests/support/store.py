"""A store on each of the databases that it works with."""

from contextlib import asynccontextmanager

from llmproxy.batteries.store import Database, address_of
from tests.support.postgres import postgres

DATABASES = ("sqlite", "postgresql")


@asynccontextmanager
async def database_url(kind, folder):
    """The `database_url` of a new, empty database."""
    if kind == "sqlite":
        yield str(folder / "store.sqlite")
        return
    async with postgres() as url:
        yield url


@asynccontextmanager
async def open_database(kind, folder, **options):
    """A Database of the store on a new, empty database."""
    async with database_url(kind, folder) as url:
        database = Database(address_of(url, {"XDG_STATE_HOME": str(folder)}), **options)
        try:
            yield database
        finally:
            await database.close()
