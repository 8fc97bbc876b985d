"""Where the store is: an SQLite file or a PostgreSQL server, from `database_url` or the place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from llmproxy.batteries.state_folder import state_folder

FILE = "llmproxy.sqlite"
OFF = "off"
SERVERS = ("postgresql", "postgres")
SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Address:
    """Exactly one of `file` and `server` is set. `spool`: the folder of what waits to be written;
    None = there is no place for it."""

    file: Path | None = None
    server: str | None = None
    spool: Path | None = None

    def __str__(self) -> str:
        """Return it as it may be shown, without login and options."""
        if self.server is None:
            return str(self.file)
        parts = urlsplit(self.server)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    @property
    def passwords(self) -> frozenset[str]:
        """What must not be shown."""
        if self.server is None:
            return frozenset()
        parts = urlsplit(self.server)
        options = dict(parse_qsl(parts.query))
        found = {unquote(parts.password or ""), options.get("password", "")}
        return frozenset(found - {""})


def address_of(database_url: str | None, environ: Mapping[str, str]) -> Address | None:
    """Return where the store is; None = there is none."""
    if database_url == OFF:
        return None
    folder = state_folder(environ)
    if database_url is None:
        return None if folder is None else _file(folder / FILE)
    if urlsplit(database_url).scheme in SERVERS:
        # Instances of several databases may share a folder: each has a spool of its own.
        url = urlsplit(database_url)
        place = sha256(f"{url.netloc.rpartition('@')[2]}{url.path}".encode()).hexdigest()[:12]
        spool = None if folder is None else folder / f"spool-{place}"
        return Address(server=database_url, spool=spool)
    return _file(Path(unquote(database_url.removeprefix(SQLITE))))


def identity_of(address: Address) -> tuple[int, int] | None:
    """Return which file is there now; None = none is, or it is a server."""
    try:
        found = None if address.file is None else address.file.stat()
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


def _file(path: Path) -> Address:
    return Address(file=path, spool=path.with_name(f"{path.name}.spool"))
