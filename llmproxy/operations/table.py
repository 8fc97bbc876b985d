"""The table of operations: everything that depends on what a path of the API does.

A row is for one path below `/v1/`; if its path ends in a slash, also for every path below it that
has no row of its own. A path without a row is passed on as UNKNOWN, with the most careful values.

Sources: the vendors' API references, and docs/project/upstreams.md, "Safe to send again".
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from llmproxy.operations.dialects import CHAT, MESSAGES, OPAQUE, RESPONSES, Dialect


class Replay(StrEnum):
    """Whether a call may be sent again after some of its bytes were sent."""

    SAFE = "safe"  # inference: nothing remains at the vendor
    COSTLY = "costly"  # images, audio: only after a connect error, a 429 or a 503
    UNSAFE = "unsafe"  # it creates or deletes something: only if nothing was sent


class Caching(StrEnum):
    """Whether an answer may be given again to a call that asks the same."""

    NEVER = "never"
    IF_DETERMINISTIC = "if deterministic"  # temperature 0 or a seed (cache/keys.py)
    ALWAYS = "always"  # the answer is a function of the input


Methods = frozenset[str]
METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")
ANY = frozenset(METHODS)
ONLY_POST = frozenset(("POST", "OPTIONS"))
READING = frozenset(("GET", "HEAD", "OPTIONS"))
NO_METHOD: Methods = frozenset()


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What a path of the API does.

    `replay`: of a POST; reading is always safe, every other method never. `bound_to_account`: the
    methods whose ids live in one account of the vendor. `answered_here`: the methods that the
    proxy answers itself when it can. `family`: groups operations whose token counts are estimated
    alike. `uses_tokens`: its calls count against limits of tokens; False where they only count
    them. `span_name`: OpenTelemetry's `gen_ai.operation.name`; None = the path's first segment.
    `answer`: the member that holds the answer to a POST; without it, a 200 is a failed attempt.
    `stored`: whether the answer of a POST is kept if it does not say so (`store`); None: no choice.
    """

    dialect: Dialect = OPAQUE
    replay: Replay = Replay.UNSAFE
    bound_to_account: Methods = NO_METHOD
    methods: Methods = ANY
    answered_here: Methods = NO_METHOD
    caching: Caching = Caching.NEVER
    family: str = "other"
    uses_tokens: bool = True
    span_name: str | None = None
    answer: str | None = None
    stored: bool | None = None


UNKNOWN = Operation()
_INFERENCE = Operation(replay=Replay.SAFE)
_PURE = Operation(replay=Replay.SAFE, methods=ONLY_POST, caching=Caching.ALWAYS)
_COSTLY = Operation(replay=Replay.COSTLY, methods=ONLY_POST)
# What an account keeps of sounds and pictures: voices, consents, styles.
_COSTLY_OR_KEPT = Operation(
    replay=Replay.COSTLY, bound_to_account=frozenset(("GET", "HEAD", "DELETE"))
)
_BELOW_POST = Operation(methods=ONLY_POST)
_ACCOUNT = Operation(bound_to_account=ANY)
# What an account keeps under ids: the path is their list, or creates one.
_KEPT = """
assistants/ audio/voice_consents/ audio/voices/ batches/ containers/ conversations/ evals/ files/
fine-tuning/ fine_tuning/ fine_tuning/checkpoints/ fine_tuning/jobs/ realtime/calls/
realtime/client_secrets/ realtime/sessions/ threads/ threads/runs/ uploads/ vector_stores/
"""

OPERATIONS: dict[str, Operation] = {
    # Chat completions, and the older completions of text
    "chat/completions": Operation(
        dialect=CHAT,
        replay=Replay.SAFE,
        bound_to_account=frozenset(("GET",)),  # lists what the account has stored
        caching=Caching.IF_DETERMINISTIC,
        family="chat",
        span_name="chat",
        answer="choices",
        stored=False,
    ),
    "chat/completions/": _ACCOUNT,
    "completions": Operation(
        dialect=CHAT,
        replay=Replay.SAFE,
        methods=ONLY_POST,
        caching=Caching.IF_DETERMINISTIC,
        family="completions",
        span_name="text_completion",
        answer="choices",
    ),
    "completions/": _BELOW_POST,
    "fim/completions": Operation(
        dialect=CHAT,
        replay=Replay.SAFE,
        family="completions",
        span_name="text_completion",
        answer="choices",
    ),
    # Responses. Background and conversation variants show in the body only (rules/body.py).
    "responses": Operation(
        dialect=RESPONSES,
        replay=Replay.SAFE,
        caching=Caching.IF_DETERMINISTIC,
        family="responses",
        span_name="chat",
        answer="output",
        stored=True,
    ),
    "responses/": Operation(dialect=RESPONSES, bound_to_account=ANY),
    "responses/compact": Operation(dialect=RESPONSES, replay=Replay.SAFE),
    "responses/input_tokens": Operation(dialect=RESPONSES, replay=Replay.SAFE, uses_tokens=False),
    # Anthropic's messages
    "messages": Operation(
        dialect=MESSAGES,
        replay=Replay.SAFE,
        methods=ONLY_POST,
        caching=Caching.IF_DETERMINISTIC,
        family="messages",
        span_name="chat",
        answer="content",
    ),
    "messages/": Operation(dialect=MESSAGES),
    "messages/batches/": Operation(dialect=MESSAGES, bound_to_account=ANY),
    "messages/count_tokens": Operation(
        dialect=MESSAGES, replay=Replay.SAFE, methods=ONLY_POST, uses_tokens=False
    ),
    # Vectors and judgements
    "embeddings": Operation(
        replay=Replay.SAFE,
        methods=ONLY_POST,
        caching=Caching.ALWAYS,
        family="embeddings",
        span_name="embeddings",
        answer="data",
    ),
    "embeddings/": _BELOW_POST,
    "embed": Operation(replay=Replay.SAFE, family="embeddings", span_name="embeddings"),
    "moderations": Operation(
        replay=Replay.SAFE, methods=ONLY_POST, caching=Caching.ALWAYS, answer="results"
    ),
    "moderations/": _BELOW_POST,
    "rerank": _PURE,
    "rerank/": _BELOW_POST,
    # What compatible servers add
    "classify": _INFERENCE,
    "detokenize": _INFERENCE,
    "infill": _INFERENCE,
    "ocr": _INFERENCE,
    "score": _INFERENCE,
    "tokenize": _INFERENCE,
    # Sounds and pictures
    "audio/": _COSTLY_OR_KEPT,
    "audio/speech": _COSTLY,
    "audio/transcriptions": _COSTLY,
    "audio/translations": _COSTLY,
    "images/": _COSTLY_OR_KEPT,
    "images/edits": _COSTLY,
    "images/generations": _COSTLY,
    "images/variations": _COSTLY,
    "videos": Operation(bound_to_account=frozenset(("GET",)), stored=True),
    "videos/": _ACCOUNT,
    # Models
    "models/": Operation(
        bound_to_account=frozenset(("DELETE",)), answered_here=frozenset(("GET", "HEAD"))
    ),
    **dict.fromkeys(_KEPT.split(), _ACCOUNT),
    "fine_tuning/alpha/graders/": _BELOW_POST,
    # Sessions, which are WebSockets
    "realtime/": UNKNOWN,
}
# Clients whose base URL lacks `/v1` ask for these at the root.
ROOT_SEGMENTS = frozenset(path.partition("/")[0] for path in OPERATIONS)


class Route(msgspec.Struct, frozen=True):
    """What a request's path says.

    `path` is the path without `/v1`, Azure's prefixes or a leading slash, percent-encoding kept:
    `chat/completions`, `responses/resp_1/cancel`. `model` is the name that is in the path
    itself (Azure's deployment). `bound_to_account`: its ids live in one account.
    """

    path: str
    operation: Operation
    replay: Replay
    bound_to_account: bool = False
    model: str | None = None

    @property
    def dialect(self) -> Dialect:
        """The dialect of the operation."""
        return self.operation.dialect


def operation_at(path: str) -> Operation:
    """The row for a path without `/v1/`; UNKNOWN for a path without a row."""
    operation = OPERATIONS.get(path)
    while operation is None and path:
        operation = OPERATIONS.get(path + "/")
        path = path.rpartition("/")[0]
    return operation or UNKNOWN


def route_to(path: str, method: str = "POST", model: str | None = None) -> Route:
    """The route of a checked path without `/v1/`."""
    operation = operation_at(path)
    if method in READING:
        replay = Replay.SAFE
    elif method == "POST":
        replay = operation.replay
    else:
        replay = Replay.UNSAFE
    return Route(path, operation, replay, method in operation.bound_to_account, model)
