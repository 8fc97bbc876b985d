"""The composition root: connects the installed batteries to the core.

A battery is an optional package, imported only here. If a deployment leaves one out, a config that
uses it is refused (`Batteries.check`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmproxy.app import Upgrade
from llmproxy.batteries.config_file import (
    FILE_NAMES,
    ConfigFile,
    config_from_environment,
    default_file,
    refuse_accidents,
)
from llmproxy.config import Config
from llmproxy.protocols import (
    Admission,
    AffinityMaker,
    AnswerCaches,
    ASGIApp,
    CallerSource,
    Credentials,
    Fallbacks,
    Heartbeat,
    Hedging,
    Masking,
    ParameterEdits,
    PeerConnector,
    PriceList,
    ReadAnswer,
    ReadForm,
    Resolver,
    TelemetryOpener,
    TokenEstimates,
    Tunnels,
    WebPages,
)
from llmproxy.routing.strategies import Strategies
from llmproxy.runtime import LiveConfig
from llmproxy.runtime.process_state import OpenOwners
from llmproxy.serving import Batteries, HealthCheckOpener, StoreOpener

if TYPE_CHECKING:
    from llmproxy.batteries.admin import WorkerSlot
    from llmproxy.batteries.keys import Keys
    from llmproxy.batteries.reload import Reloader
    from llmproxy.batteries.store import Store

DEFAULT_CONFIG = Path(FILE_NAMES[0])  # the name in messages if there is none
CONFIG_VARIABLE = "LLMPROXY_CONFIG"


def installed(
    *,
    log_to: int | None = None,
    slot: WorkerSlot | None = None,
    reloader: Reloader | None = None,
) -> Batteries:
    """Return the batteries of one process. Each call makes new ones, with state of their own.

    `log_to`: the file descriptor of the access log; None = no log. `slot`: this worker's
    part of the memory in which workers add up their counters; None = there is one process.
    `reloader`: of `reloader_of`.
    """
    caches, telemetry, store = _caches(), _telemetry(log_to, slot), _store()
    keys = None if store is None else _keys()
    # The admin application reads the counters of these two, so it needs both.
    needed_by_admin = caches is not None and telemetry is not None
    return Batteries(
        caches=caches,
        connector=_connector(),
        callers=_callers(keys),
        price_list=_price_list(),
        parameters=_parameters(),
        translation=_translation(),
        credentials=_credentials(),
        form_reader=_form_reader(),
        read_answer=_read_answer(),
        token_estimates=_token_estimates(),
        masking=_masking(),
        resolver=_resolver(),
        tunnels=_tunnels(),
        hedging=_hedging(),
        strategies=_strategies(),
        affinity=_affinity(),
        fallbacks=_fallbacks(),
        admission=_admission(),
        heartbeat=_heartbeat(),
        owners=_owners(),
        open_store=None if store is None else _opening_of_store(store, keys),
        telemetry=telemetry,
        web_pages=_web_pages(),
        websockets=_websockets(),
        open_admin=_opening_of_admin(slot, reloader, keys) if needed_by_admin else None,
        acquire=None if reloader is None else reloader.shared.acquire,
        reload=None if reloader is None else reloader.serve,
        health_checks=_health_checks(),
    )


# One function for each battery. It returns None if the package is not there, so it imports inside.


def _health_checks() -> HealthCheckOpener | None:
    if not _has("health_checks"):
        return None
    from llmproxy.batteries.health_checks import open_health_checks  # noqa: PLC0415

    return open_health_checks


def _callers(keys: Keys | None) -> CallerSource | None:
    if not _has("callers"):
        return None
    from llmproxy.batteries.callers import ConfiguredCallers  # noqa: PLC0415

    return ConfiguredCallers() if keys is None else ConfiguredCallers([keys.known], keys.known)


def _keys() -> Keys | None:
    if not (_has("keys") and _has("callers")):
        return None
    from llmproxy.batteries.keys import Keys  # noqa: PLC0415

    return Keys()


def _price_list() -> PriceList | None:
    if not _has("price_list"):
        return None
    from llmproxy.batteries.price_list import with_list_prices  # noqa: PLC0415

    return with_list_prices


def _parameters() -> ParameterEdits | None:
    if not _has("parameters"):
        return None
    from llmproxy.batteries.parameters import with_edits  # noqa: PLC0415

    return with_edits


def _translation() -> ParameterEdits | None:
    # an answer must be one to be translated
    if not (_has("translation") and _has("answer_checks")):
        return None
    from llmproxy.batteries.translation import with_translators  # noqa: PLC0415

    return with_translators


def _credentials() -> Credentials | None:
    if not _has("credentials"):
        return None
    from llmproxy.batteries.credentials import CloudCredentials  # noqa: PLC0415

    return CloudCredentials()


def _hedging() -> Callable[[], Hedging] | None:
    if not _has("hedging"):
        return None
    from llmproxy.batteries.hedging import Hedger  # noqa: PLC0415

    return Hedger()


def _affinity() -> AffinityMaker | None:
    if not _has("affinity"):
        return None
    from llmproxy.batteries.affinity import affinity_of  # noqa: PLC0415

    return affinity_of


def _strategies() -> Strategies | None:
    if not _has("strategies"):
        return None
    from llmproxy.batteries.strategies import ALL_STRATEGIES  # noqa: PLC0415

    return ALL_STRATEGIES


def _fallbacks() -> Fallbacks | None:
    if not _has("fallbacks"):
        return None
    from llmproxy.batteries.fallbacks import with_fallbacks  # noqa: PLC0415

    return with_fallbacks


def _admission() -> Callable[[], Admission] | None:
    if not _has("admission"):
        return None
    from llmproxy.batteries.admission import BoundedAdmission  # noqa: PLC0415

    return BoundedAdmission


def _resolver() -> Callable[[], Resolver] | None:
    if not _has("resolver"):
        return None
    from llmproxy.batteries.resolver import CachingResolver  # noqa: PLC0415

    return CachingResolver


def _tunnels() -> Callable[[Mapping[str, str]], Tunnels] | None:
    if not _has("tunnel"):
        return None
    from llmproxy.batteries.tunnel import ProxyTunnels  # noqa: PLC0415

    return ProxyTunnels


def _masking() -> Masking | None:
    if not _has("masking"):
        return None
    from llmproxy.batteries.masking import EndpointSecrets  # noqa: PLC0415

    return EndpointSecrets()


def _heartbeat() -> Callable[[float | None], Heartbeat] | None:
    if not _has("signs_of_life"):
        return None
    from llmproxy.batteries.signs_of_life import SignsOfLife  # noqa: PLC0415

    return SignsOfLife


def _owners() -> OpenOwners | None:
    if not _has("owners"):
        return None
    from llmproxy.batteries.owners import OwnerRegistries  # noqa: PLC0415

    return OwnerRegistries().open


def _web_pages() -> WebPages | None:
    if not _has("web_pages"):
        return None
    from llmproxy.batteries.web_pages import OriginChecks  # noqa: PLC0415

    return OriginChecks()


def _websockets() -> Upgrade | None:
    if not _has("websockets"):
        return None
    from llmproxy.batteries.websockets import WebSockets  # noqa: PLC0415

    return WebSockets()


def _form_reader() -> ReadForm | None:
    if not _has("uploads"):
        return None
    from llmproxy.batteries.uploads import read_form  # noqa: PLC0415

    return read_form


def _read_answer() -> ReadAnswer | None:
    if not _has("answer_checks"):
        return None
    from llmproxy.batteries.answer_checks import read_answer  # noqa: PLC0415

    return read_answer


def _token_estimates() -> Callable[[], TokenEstimates] | None:
    if not _has("token_estimates"):
        return None
    from llmproxy.batteries.token_estimates import LearnedEstimates  # noqa: PLC0415

    return LearnedEstimates


def _store() -> Store | None:
    if not (_has("store") and _has("masking")):  # a server's errors may quote a password
        return None
    from llmproxy.batteries.store import Store  # noqa: PLC0415

    return Store()


def _opening_of_store(store: Store, keys: Keys | None) -> StoreOpener:
    return store.open if keys is None else partial(keys.open_with, store)


def _caches() -> AnswerCaches | None:
    if not _has("cache"):
        return None
    from llmproxy.batteries.cache import Caches  # noqa: PLC0415

    return Caches()


def _connector() -> PeerConnector | None:
    if not (_has("shared_state") and _has("masking")):  # a server's errors may quote a password
        return None
    from llmproxy.batteries.shared_state import Connector  # noqa: PLC0415

    return Connector()


def _telemetry(log_to: int | None, slot: WorkerSlot | None) -> TelemetryOpener | None:
    if not _has("telemetry"):
        return None
    from llmproxy.batteries.telemetry import Exporters, write_lines_to, write_to  # noqa: PLC0415

    # Workers write to the same descriptor: their lines must not mix.
    writer = write_to if slot is None else write_lines_to
    return Exporters(None if log_to is None else writer(log_to))


def _opening_of_admin(
    slot: WorkerSlot | None, reloader: Reloader | None, keys: Keys | None
) -> Callable[[LiveConfig, Any], AbstractAsyncContextManager[ASGIApp]] | None:
    if not _has("admin"):
        return None
    from llmproxy.batteries.admin import open_admin  # noqa: PLC0415

    return partial(open_admin, slot=slot, reloader=reloader, keys=keys)


def config_to_serve(
    path: Path | None, environ: Mapping[str, str]
) -> tuple[Config | None, ConfigFile | None]:
    """Return the config and the file that it comes from: `path`, else LLMPROXY_CONFIG, else
    llmproxy.yaml or llmproxy.yml in the current folder, else the keys in the environment (no file),
    else (None, None). Raises ConfigError, also if there is something that looks like a config or
    a key and is neither: the demo must not start by accident."""
    if path is None and environ.get(CONFIG_VARIABLE):
        path = Path(environ[CONFIG_VARIABLE])
    path = path or default_file()
    if path is not None:
        file = config_file(path, environ)
        return file.load(), file
    config = config_from_environment(environ)
    if config is None:
        refuse_accidents(environ, Path())
    return config, None


def config_file(path: Path, environ: Mapping[str, str]) -> ConfigFile:
    """Return a config file that is checked against what is installed."""
    return ConfigFile(path, environ, check=installed().check)


def start_token() -> str | None:
    """Return what opens `/admin` where no admin_key is configured; None = there is no `/admin`."""
    if not _has("admin"):
        return None
    from llmproxy.batteries.admin import START_TOKEN  # noqa: PLC0415 - may not be there

    return START_TOKEN


def reloader_of(file: ConfigFile | None, *, signals: bool = True) -> Reloader | None:
    """Return what serves a file again when it changes; None if nothing does.

    `signals`: also at a SIGHUP, which this process must leave to it.
    """
    if file is None or not _has("reload"):
        return None
    from llmproxy.batteries.reload import (  # noqa: PLC0415 - may not be there
        Reloader,
        on_file_change,
        on_signal_or_file_change,
    )

    return Reloader(file, on_signal_or_file_change if signals else on_file_change)


def _has(package: str) -> bool:
    return find_spec(f"llmproxy.batteries.{package}") is not None
