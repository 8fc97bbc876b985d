"""The translators of a config's endpoints.

They are made with each config, so what translates is imported with the first call that needs it.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from llmproxy.batteries.translation.speaking import (
    DIALECTS,
    EndpointDialects,
    spoken_by,
    supposed_of,
)
from llmproxy.calls import Call
from llmproxy.config import Config
from llmproxy.providers.base import Endpoint, Endpoints, InDialect
from llmproxy.record import CallRecord


def with_translators(config: Config, endpoints: Endpoints) -> Endpoints:
    """Return the endpoints of a config, with translators for those that may need one."""
    translating: dict[str, tuple[Endpoint, ...]] = {}
    for group in config.model_groups:
        row = endpoints[group.model_group]
        spoken = [
            spoken_by(entry, endpoint) for entry, endpoint in zip(group.models, row, strict=True)
        ]
        policy = group.on_untranslatable or config.general_settings.on_untranslatable
        supposed = [
            supposed_of(entry, endpoint) for entry, endpoint in zip(group.models, row, strict=True)
        ]
        certain = [one - other for one, other in zip(spoken, supposed, strict=True)]
        native = frozenset[str]().union(*certain)
        translating[group.model_group] = tuple(
            replace(
                endpoint,
                translators=dict.fromkeys(
                    (name for name in DIALECTS if name in doubtful or name not in dialects),
                    EndpointTranslator(
                        endpoint=endpoint,
                        speaks=dialects,
                        drops=policy == "drop",
                        max_output_tokens=entry.max_output_tokens,
                        native=native,
                        supposed=doubtful,
                        unspoken=set(),
                    ),
                ),
            )
            for entry, endpoint, dialects, doubtful in zip(
                group.models, row, spoken, supposed, strict=True
            )
        )
    return translating


def notes_of(config: Config, endpoints: Endpoints) -> Iterator[str]:
    """Yield what is translated for each endpoint of the groups whose endpoints differ in that."""
    translating = with_translators(config, endpoints)
    for name, row in translating.items():
        told = {
            endpoint.name: "".join(set(map(str, endpoint.translators.values()))) for endpoint in row
        }
        if len(set(told.values())) > 1:
            yield from (
                f"Group {name!r}: endpoint {endpoint!r} {what}."
                for endpoint, what in told.items()
                if what
            )


class EndpointTranslator(EndpointDialects, frozen=True):
    """Translates calls for one endpoint, of the dialects that it may not speak."""

    def __call__(self, call: Call, record: CallRecord) -> tuple[Call, InDialect | None]:
        """Translate a call, and note that in the record. Raises Untranslatable."""
        from llmproxy.batteries.translation.one_call import translate  # noqa: PLC0415 - slow

        return translate(self, call, record)
