"""A proxy that serves TLS, and clients of it."""

import asyncio

from tests.support.client import Connection, request
from tests.support.proxy import config_for


def config_with_tls(vendor, pair, client_ca=None, callers=(), **tls):
    section = {"cert": str(pair[0]), "key": str(pair[1]), **tls}
    if client_ca is not None:
        section["client_ca"] = str(client_ca)
    settings = {"tls": section, "log_format": "json"}
    if callers:
        settings["callers"] = list(callers)
    return config_for(vendor.base_url, **settings)


async def connect_to(proxy, context):
    opening = asyncio.open_connection("localhost", proxy.port, ssl=context, limit=2**24)
    return Connection(*await opening)


async def ask(proxy, context, *args, **options):
    """Send one request by TLS on a connection of its own."""
    connection = await connect_to(proxy, context)
    try:
        await connection.send(request(*args, **options))
        return await asyncio.wait_for(connection.reply(), 60)
    finally:
        connection.leave()
