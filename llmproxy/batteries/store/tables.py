"""The tables of the store, for SQLite and PostgreSQL. docs/reference/database.md lists them.

Money is in whole nano-dollars (1e-9 USD), moments are Unix seconds. Nothing holds what a call said.
In the primary keys of sums, '' stands for "none", which no database compares as NULL.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    literal_column,
)

metadata = MetaData()

# Indexes of ids are by parts of the table. An index of all ids in one would have to write a page of
# its own for each call, because vendors' ids are random. A search looks into each part.
PART = 8192  # calls
PART_OF_CALLS = literal_column(f"(seq / {PART})", BigInteger)
# SQLite gives numbers only to a key that is declared as INTEGER.
_number = BigInteger().with_variant(Integer, "sqlite")


def _text(name: str, about: str, *, default: str | None = None) -> Column[str]:
    """Return a column of text: NULL if it has no default."""
    return Column(
        name, Text, nullable=default is None, server_default=default, default=default, comment=about
    )


def _count(name: str, about: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, default=0, server_default="0", comment=about)


def _flag(name: str, about: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, default=False, comment=about)


def _moment(name: str, about: str, *, nullable: bool = True) -> Column[float]:
    return Column(name, Double, nullable=nullable, comment=about)


def _limits() -> tuple[Column[str] | Column[int], ...]:
    return (
        _text("models", "JSON list of the models that may be asked for, `*` allowed; NULL: all"),
        Column("rpm", BigInteger, comment="requests a minute; NULL: no limit"),
        Column("tpm", BigInteger, comment="tokens a minute; NULL: no limit"),
        Column("concurrent", BigInteger, comment="calls at once; NULL: no limit"),
    )


def _period() -> tuple[Column[str], Column[int]]:
    return (
        _text("period", "`hour` or `day`", default=""),
        Column("start", BigInteger, nullable=False, comment="Unix time of its beginning, in UTC"),
    )


def _sums() -> tuple[Column[int], ...]:
    return (
        _count("calls", "how many calls"),
        _count("errors", "of these, calls that failed: 4xx, 5xx, or broken off"),
        _count("input_tokens", "cached ones included"),
        _count("output_tokens", "reasoning included"),
        _count("cached_tokens", "input tokens that the vendor read from its cache"),
        _count("cache_write_tokens", "input tokens that the vendor wrote to its cache"),
        _count("reasoning_tokens", "output tokens that the model thought with"),
        _count("nano_usd", "cost, estimated cost included"),
        _count("estimated_nano_usd", "the part of `nano_usd` that is not exact"),
        _count("unknown_calls", "calls whose cost is not known; `nano_usd` lacks them"),
        _count("saved_nano_usd", "what answers from the proxy's own cache would have cost"),
        _count("attempts", "attempts, hedges and retries included"),
        _count("total_ms", "the durations of the calls, added up"),
    )


calls = Table(
    "calls",
    metadata,
    Column("seq", _number, primary_key=True, autoincrement=True, comment="order of arrival"),
    _text(
        "id",
        "our id of the call, as in the access log; a client may repeat it",
    ),
    _text("request_id", "the vendor's id of the call"),
    _moment("ended_at", "when the call was over", nullable=False),
    _text("instance", "host and process that served it"),
    _text("caller", "name of the caller or of the key"),
    _text("team", "team of the caller"),
    _text("key_id", "id of a key in `keys`; NULL: a caller of the config"),
    _text("end_user", "the user that the client named"),
    _text("tags", "JSON list of tags; NULL: none"),
    _text("operation", "path without its prefix, such as `chat/completions`"),
    _text("model", "the model that was asked for"),
    _text("group_name", "the model group that was asked"),
    _text("fallback", "the group that was asked in its place"),
    _text("endpoint", "the endpoint that answered, or that was tried last"),
    Column(
        "status", Integer, nullable=False, default=0, comment="HTTP status; 499: the client left"
    ),
    _text("error", "code of the error"),
    _text("error_source", "whose trouble it was: caller_limit, client, upstream, proxy"),
    _flag("stream", "a stream was asked for"),
    Column("attempts", Integer, nullable=False, default=0, comment="attempts that were begun"),
    _text("cache", "the part that the proxy's own cache had"),
    _count("input_tokens", "cached ones included"),
    _count("output_tokens", "reasoning included"),
    _count("cached_tokens", "input tokens that the vendor read from its cache"),
    _count("cache_write_tokens", "input tokens that the vendor wrote to its cache"),
    _count("reasoning_tokens", "output tokens that the model thought with"),
    _flag("estimated", "the tokens are estimated"),
    _count("nano_usd", "cost of all attempts"),
    _text("basis", "of the cost: exact, estimated, unknown, free"),
    _count("saved_nano_usd", "what an answer from the proxy's own cache would have cost"),
    Column("first_byte_ms", Double, comment="until the answer began; NULL: it never did"),
    Column(
        "total_ms", Double, nullable=False, default=0.0, comment="until the answer was complete"
    ),
    _text("trace", "JSON of what the other columns do not say: steps and times"),
    Index("calls_by_time", "ended_at"),
    Index("calls_by_id", PART_OF_CALLS, "id"),
    Index("calls_by_request_id", PART_OF_CALLS, "request_id"),
    comment="One row for each call, for `call_keep_s`",
)

spend = Table(
    "spend",
    metadata,
    *_period(),
    _text("caller", "as in `calls`", default=""),
    _text("team", "as in `calls`", default=""),
    _text("key_id", "as in `calls`", default=""),
    _text("model", "as in `calls`", default=""),
    _text("group_name", "the group that answered, a fallback's if there was one", default=""),
    _text("endpoint", "as in `calls`", default=""),
    *_sums(),
    PrimaryKeyConstraint(
        *("period", "start", "caller", "team", "key_id", "model", "group_name", "endpoint")
    ),
    comment="Sums of calls by hour and by day, for ever",
)

spend_by_label = Table(
    "spend_by_label",
    metadata,
    *_period(),
    _text("kind", "`tag` or `end_user`", default=""),
    _text("label", "the tag or the user", default=""),
    _text("team", "as in `calls`", default=""),
    *_sums(),
    PrimaryKeyConstraint("period", "start", "kind", "label", "team"),
    comment="The same sums by tag and by end user",
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True, comment="`key_...`"),
    Column("name", Text, nullable=False, unique=True, comment="for people"),
    _text("team", "the team that it belongs to"),
    _text("owner", "the person that answers for it"),
    _text("note", "what it is for"),
    _text("tags", "JSON list of tags that every call gets"),
    Column("prefix", Text, nullable=False, comment="the first 12 characters"),
    Column("digest", Text, nullable=False, unique=True, comment="SHA-256 of the key, in hex"),
    Column("second_digest", Text, unique=True, comment="of the key before, while it still works"),
    _moment("second_until", "until then"),
    *_limits(),
    _flag("blocked", "nobody may use it"),
    _moment("created_at", "when it was made", nullable=False),
    _text("created_by", "who made it"),
    _moment("expires_at", "when it ends; NULL: never"),
    _moment("last_used_at", "its last call, within a minute"),
    _moment("changed_at", "its last change", nullable=False),
    _moment("deleted_at", "when it was deleted; the row stays, for what it has spent"),
    _count("version", "of `versions`, at its last change"),
    Index("keys_by_version", "version"),
    Index("keys_by_team", "team"),
    comment="Keys that were made while the proxy ran",
)

teams = Table(
    "teams",
    metadata,
    Column("name", Text, primary_key=True, comment="for people"),
    _text("owner", "the person that answers for it"),
    _text("note", "what it is for"),
    *_limits(),
    _flag("blocked", "no key of it may be used"),
    _moment("created_at", "when it was made", nullable=False),
    _moment("changed_at", "its last change", nullable=False),
    _count("version", "of `versions`, at its last change"),
    comment="Teams that were made while the proxy ran",
)

members = Table(
    "members",
    metadata,
    _text("team", "name of the team", default=""),
    _text("person", "e-mail address or subject of who signs in", default=""),
    _text("role", "what the person may do there", default=""),
    PrimaryKeyConstraint("team", "person"),
    comment="Who may see a team",
)

budgets = Table(
    "budgets",
    metadata,
    Column("id", Text, primary_key=True, comment="of the budget"),
    Column("subject_kind", Text, nullable=False, comment="key, team, tag, group or all"),
    _text("subject", "which one", default=""),
    Column("unit", Text, nullable=False, comment="usd or tokens"),
    _count("amount", "nano-dollars or tokens"),
    Column("per", Text, nullable=False, comment="hour, day, week, month or total"),
    _text("time_zone", "in which a day begins", default="UTC"),
    _flag("hard", "calls are refused when it is used up"),
    _text("notify_at", "JSON list of shares at which an alert is sent"),
    _moment("changed_at", "its last change", nullable=False),
    comment="Budgets that were made while the proxy ran",
)

audit = Table(
    "audit",
    metadata,
    Column("id", _number, primary_key=True, autoincrement=True, comment="order of the actions"),
    _moment("at", "when", nullable=False),
    _text("who", "name or e-mail address"),
    _text("role", "the role that allowed it"),
    _text("address", "from where"),
    Column("action", Text, nullable=False, comment="what was done, such as `key.create`"),
    _text("subject", "to what"),
    _text("team", "whose members may read it"),
    _text("before", "JSON of the subject before"),
    _text("after", "JSON of the subject after"),
    Index("audit_by_time", "at"),
    comment="What operators have changed",
)

alerts_sent = Table(
    "alerts_sent",
    metadata,
    Column("id", Text, primary_key=True, comment="what it is about, and which period"),
    _moment("at", "when", nullable=False),
    comment="Alerts that were sent, so that none is sent twice",
)

versions = Table(
    "versions",
    metadata,
    Column("name", Text, primary_key=True, comment="a table that instances keep in memory"),
    _count("version", "grows with each change"),
    comment="What instances look at to learn of a change",
)

writers = Table(
    "writers",
    metadata,
    Column("writer", Text, primary_key=True, comment="a process that writes calls"),
    _count("last_batch", "number of its last batch that is here: none is written twice"),
    _moment("at", "when that was", nullable=False),
    comment="Processes that write calls",
)
