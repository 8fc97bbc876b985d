"""The state of one vendor: ids, limits for each model, stored responses.

It opens nothing; the monotonic and the Unix clock are passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from itertools import count
from random import Random
from typing import TypeVar

import msgspec

from llmproxy.tools.simulator.errors import VendorError, decode_error, known_error
from llmproxy.tools.simulator.exchange import ApiCall, Json
from llmproxy.tools.simulator.limits import (
    GENEROUS_RPM,
    GENEROUS_TPM,
    AzureWindow,
    OpenAIWindow,
    Standing,
    Window,
)
from llmproxy.tools.simulator.prompt_cache import PromptCache
from llmproxy.tools.simulator.settings import VendorSettings

MAX_KEPT = 1_000  # responses and windows, so that memory stays bounded
SEEDED_CREATED = 1_750_000_000

T = TypeVar("T")
K = TypeVar("K")


class StoredResponse(msgspec.Struct):
    """A stored response and its input items."""

    response: Json
    items: list[Json]


class VendorState:
    """Owns what one vendor stores; used by one event loop."""

    def __init__(
        self,
        settings: VendorSettings,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.responses: dict[str, StoredResponse] = {}
        self._clock = clock
        self._wall_clock = wall_clock
        self._windows: dict[tuple[str, bool], Window] = {}
        self._numbers = count(1)
        # It makes ids and pauses, never a secret.
        self.random = Random(settings.seed)  # noqa: S311
        self._prompt_cache = PromptCache() if settings.prompt_cache else None
        self._salt = self.random.randbytes(8)

    def new_id(self, prefix: str, length: int = 24) -> str:
        """Make an id like the vendor's; a seed repeats the sequence."""
        number = next(self._numbers)
        digest = blake2b(number.to_bytes(8, "big"), digest_size=32, key=self._salt).hexdigest()
        return prefix + digest[:length]

    def created(self) -> int:
        """Return the time in Unix seconds; constant if there is a seed."""
        return SEEDED_CREATED if self.settings.seed is not None else int(self._wall_clock())

    def pause(self, seconds: float) -> float:
        """Return a pause with its jitter, in seconds."""
        jitter = self.settings.jitter
        return seconds * self.random.uniform(1 - jitter, 1 + jitter) if jitter else seconds

    def model(self, call: ApiCall, named: str | None) -> str:
        """Return Azure's deployment, else the model in the body. Raises VendorError (400, 404)."""
        model = call.deployment or named
        if not model:
            raise VendorError(400, "you must provide a model parameter")
        models = self.settings.models
        if models is None or model in models:
            return model
        if call.azure:
            raise known_error(404, "DeploymentNotFound")
        text = f"The model `{model}` does not exist or you do not have access to it."
        raise known_error(404, "model_not_found", text)

    def admit(self, call: ApiCall, model: str, *, prompt: int, output: int | None = None) -> None:
        """Charge a request against its model's limits. `prompt`, `output`: tokens, at most.

        Raises VendorError (429).
        """
        window = self._window(call, model)
        standing = window.admit(prompt + (output or 0), self._clock())
        call.limits = window.headers(standing)
        if standing.wait_s is not None:
            raise self._throttled(call, model, window, standing)

    def cached_tokens(self, model: str, prompt: object, tokens: int) -> int:
        """Read a prompt of so many tokens; returns how many of them were cached."""
        if self._prompt_cache is None:
            return 0
        text = msgspec.json.encode([model, prompt])
        return min(tokens, self._prompt_cache.read_text(text, self._clock()))

    def _window(self, call: ApiCall, model: str) -> Window:
        key = (model, call.azure)
        window = self._windows.get(key)
        if window is None:
            rpm = GENEROUS_RPM if self.settings.rpm is None else self.settings.rpm
            tpm = GENEROUS_TPM if self.settings.tpm is None else self.settings.tpm
            kind = AzureWindow if call.azure else OpenAIWindow
            window = kind(rpm, tpm, self._clock())
            store(self._windows, key, window)
        return window

    @staticmethod
    def _throttled(call: ApiCall, model: str, window: Window, standing: Standing) -> VendorError:
        wait_s = standing.wait_s or 0.0
        what = "requests" if standing.exceeded == "requests" else "tokens"
        limit = window.rpm if what == "requests" else window.tpm
        if call.azure:
            version = call.query.get("api-version", "preview")
            text = (
                f"Requests to the {call.operation} Operation under Azure OpenAI API version "
                f"{version} have exceeded the {'call' if what == 'requests' else 'token'} rate "
                f"limit of your current OpenAI S0 pricing tier. Please retry after "
                f"{max(1, round(wait_s))} seconds."
            )
        else:
            short = "RPM" if what == "requests" else "TPM"
            text = (
                f"Rate limit reached for {model} in organization org-simulated on {what} per min "
                f"({short}): Limit {limit}. Please try again in {wait_s:.3g}s."
            )
        return VendorError(429, text, code="rate_limit_exceeded", kind=what)


def store(kept: dict[K, T], key: K, value: T) -> None:
    """Add an entry; drop the oldest one if the dictionary is full."""
    if len(kept) >= MAX_KEPT:
        del kept[next(iter(kept))]
    kept[key] = value


def decoded(kind: type[T], call: ApiCall) -> T:
    """Parse a request's JSON body as a type. Raises VendorError (400)."""
    try:
        return msgspec.json.decode(call.body, type=kind)
    except msgspec.DecodeError as error:
        raise decode_error(error) from error
    except UnicodeDecodeError as error:
        raise decode_error(msgspec.DecodeError(str(error))) from error
