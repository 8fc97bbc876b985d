"""Checks of addresses and networks, and of the mode of a socket's file."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import SecretStr
from pydantic.functional_validators import AfterValidator

from llmproxy.config import checks

SCHEMES = ("postgresql", "postgres", "sqlite")
NO_FILES = ("", "none", "no", "null", "false", "true", "memory", ":memory:", "sqlite")


def database_address(value: SecretStr) -> SecretStr:
    """Check `database_url`, which may hold a password."""
    text = value.get_secret_value()
    scheme, is_url, rest = text.partition("://")
    if is_url and scheme not in SCHEMES:
        checks.refuse(
            "found a database of another kind, or with a driver in its name.",
            "Write postgresql://user:password@host/db, or the path of an SQLite file.",
        )
    is_sqlite = is_url and scheme == "sqlite"
    path = rest.removeprefix("/") if is_sqlite else text
    if path.lower() in NO_FILES or (is_sqlite and not rest.startswith("/")):
        checks.refuse(
            "found no address, and no name of a file.",
            "Write a path or postgresql://..., `off` for no database, or remove the key for the "
            "default file.",
        )
    return value


def file_mode(value: object) -> object:
    """Check the mode of a file. YAML reads 0660 without quotes as a number, 660 as another one."""
    if not (isinstance(value, str) and re.fullmatch("0?[0-7]{3}", value)):
        checks.refuse(
            "expected the mode of a file: three octal digits in quotes.",
            'Write "0660", or "0666" if every user of this machine may connect.',
        )
    return value


def _network(value: str) -> str:
    """Check an address, a network, or `unix`."""
    if value == "unix":
        return value
    try:
        return str(ip_network(value))
    except ValueError as error:
        remedy = "Write 10.0.0.5, 10.0.0.0/8, fd00::/8 or unix."
        if "host bits" in str(error):
            remedy = f"Write {ip_network(value, strict=False)}, or the address alone."
        checks.refuse("found {value}, which is no address and no network.", remedy)


Network = Annotated[str, AfterValidator(_network)]
