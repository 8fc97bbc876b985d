"""This machine and the files of a proxy: limits, disk space, permissions, certificates."""

from __future__ import annotations

import os
import resource
import shutil
import ssl
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from llmproxy.batteries.settings import FullConfig, FullSettings
from llmproxy.batteries.state_folder import state_folder
from llmproxy.batteries.store import address_of as store_address
from llmproxy.interpreter import MORE_CPU, PythonBuild, this_build
from llmproxy.process import address_of, open_to_all, raise_open_files
from llmproxy.tools.doctor.findings import DoctorFinding, found

FILES_OF_A_CALL = 2  # its client's connection and its endpoint's
OTHER_FILES = 100
USUAL_FILES = 4096  # what is enough if max_in_flight is not set
MIB = 1024 * 1024
FULL_BYTES, LOW_BYTES = 100 * MIB, 1024 * MIB


class Kept(msgspec.Struct, frozen=True):
    """A folder in which something is kept. `key`: what names another one."""

    folder: Path
    what: str
    key: str


def machine_findings(
    config: FullConfig,
    file: Path | None,
    environ: Mapping[str, str],
    *,
    workers: int | None = None,
) -> Iterator[DoctorFinding]:
    """Yield what is wrong with this machine and with the files of a config."""
    settings = config.general_settings
    address = address_of(config, None, None)[0]
    if open_to_all(config, address) is not None:
        yield found("open_to_all", f"{address}:{settings.bind_port}", address=address)
    if file is not None:
        yield from readable_secrets(file, has_secrets=_has_literal_secret(file))
    yield from own_authorities(environ.get("SSL_CERT_FILE"))
    yield from few_files(settings, raise_open_files())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if workers is not None and cores is not None and workers > cores:
        yield found("more_workers_than_cores", "this machine", workers=workers, cores=cores)
    yield from slow_python(this_build())
    for kept in kept_folders(settings, environ):
        yield from disk_space(kept)
    yield from own_certificate(settings)


def slow_python(build: PythonBuild) -> Iterator[DoctorFinding]:
    """Yield a Python that makes calls dearer."""
    if not build.profile_guided:
        version = ".".join(map(str, sys.version_info[:3]))
        yield found("slow_python", sys.executable, version=version, more=MORE_CPU)


def own_authorities(file: str | None) -> Iterator[DoctorFinding]:
    """Yield a file of trusted authorities that cannot be read: OpenSSL says nothing of it."""
    if not file:
        return
    try:
        ssl.create_default_context(cafile=file)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        yield found("authorities_unusable", "SSL_CERT_FILE", file=file, why=why)


def few_files(settings: FullSettings, limit: int) -> Iterator[DoctorFinding]:
    """Yield a limit of open files that is too low for the calls at once. Pure."""
    wanted = settings.max_in_flight
    needed = FILES_OF_A_CALL * wanted + OTHER_FILES
    is_set = "max_in_flight" in settings.model_fields_set
    if limit == resource.RLIM_INFINITY or limit >= (needed if is_set else USUAL_FILES):
        return
    calls = max(0, limit - OTHER_FILES) // FILES_OF_A_CALL
    yield found("few_files", "this machine", limit=limit, calls=calls, wanted=wanted, needed=needed)


def readable_secrets(file: Path, *, has_secrets: bool) -> Iterator[DoctorFinding]:
    """Yield a config with secrets that others may read."""
    mode = stat.S_IMODE(file.stat().st_mode)
    if has_secrets and mode & stat.S_IROTH:
        yield found("secrets_readable", str(file), mode=f"{mode:o}", file=file)


def kept_folders(settings: FullSettings, environ: Mapping[str, str]) -> Iterator[Kept]:
    """Yield where files of the proxy grow."""
    url = settings.database_url
    address = store_address(None if url is None else url.get_secret_value(), environ)
    if address is not None and address.file is not None:
        yield Kept(address.file.parent, "the database", "database_url")
    if address is not None and address.spool is not None:
        key = "STATE_DIRECTORY or XDG_STATE_HOME"
        yield Kept(address.spool.parent, "what waits for the database", key)
    if settings.state_file != "off":
        folder = state_folder(environ)
        own = settings.state_file
        if (place := folder if own is None else Path(own).parent) is not None:
            yield Kept(place, "the owners of files and batches", "state_file")
    params = settings.cache_params
    if settings.cache and params.type == "disk" and params.path is not None:
        yield Kept(Path(params.path).parent, "the cache", "cache_params.path")
    yield Kept(Path(tempfile.gettempdir()), "what clients upload", "TMPDIR")


def disk_space(kept: Kept) -> Iterator[DoctorFinding]:
    """Yield a folder with little space."""
    folder = kept.folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    code = "disk_full" if free < FULL_BYTES else "disk_low" if free < LOW_BYTES else None
    if code is not None:
        shown = f"{free // MIB} MiB"
        yield found(code, str(folder), free=shown, folder=folder, what=kept.what, key=kept.key)


def own_certificate(settings: FullSettings) -> Iterator[DoctorFinding]:
    """Yield what is wrong with the certificate that clients get."""
    tls = getattr(settings, "tls", None)
    if tls is None:
        return
    why = certificate_fault(str(tls.cert), str(tls.key))
    if why == "expired":
        yield found("own_certificate_expired", str(tls.cert))
    elif why is not None:
        yield found("own_certificate_unusable", str(tls.cert), why=why)


def certificate_fault(cert: str, key: str) -> str | None:
    """Return why a certificate cannot be used: `expired`, or words; None if it can.

    Both sides of a handshake are played in memory: OpenSSL judges, as a client would.
    """
    try:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(cert, key)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        client.load_verify_locations(cert)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        return str(getattr(error, "reason", None) or error.strerror or error)  # type: ignore[union-attr]
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return "expired" if error.verify_code == X509_EXPIRED else error.verify_message
            except ssl.SSLError as error:
                return str(error.reason or error)
    return None


X509_EXPIRED = 10


def _has_literal_secret(file: Path) -> bool:
    from llmproxy.batteries.config_file import holds_secret  # noqa: PLC0415

    try:
        return holds_secret(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return False
