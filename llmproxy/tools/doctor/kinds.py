"""What `llmproxy doctor` finds without asking an endpoint: each with its cause and its remedy.

`{words}` in braces are filled in for each finding; nothing that is filled in may be a secret.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """How bad a finding is. The exit status follows from the worst."""

    FAULT = "fault"  # calls fail, or will
    WARNING = "warning"  # it works, and will hurt
    NOTE = "note"  # good to know; does not change the exit status


class FindingKind(msgspec.Struct, frozen=True):
    """One kind of finding."""

    code: str
    severity: Severity
    cause: str
    remedy: str


FAULT, WARNING, NOTE = Severity

LOCAL_KINDS = (
    # ---- the config
    FindingKind("config_unusable", FAULT, "the config cannot be used: {why}", "{remedy}"),
    FindingKind(
        "one_endpoint",
        WARNING,
        "the group has one endpoint: while it fails, every call of the group fails.",
        "Add a second endpoint (another region, account or vendor), or fallbacks to another group.",
    ),
    FindingKind(
        "all_last_resort",
        WARNING,
        "every endpoint of the group has weight 0, which means last resort only.",
        "Give the endpoints that should serve usual calls a weight of 1 or more.",
    ),
    FindingKind(
        "limits_differ",
        WARNING,
        "it is the same account and model as {other}, but its limits differ.",
        "Write the same limits in both places: both count against one quota at the vendor.",
    ),
    FindingKind(
        "no_price",
        WARNING,
        "the price of {model} is not known: its costs are unknown, and budgets do not count it.",
        "Add price: {{input: ..., output: ...}} (US dollars per million tokens) to the endpoint.",
    ),
    FindingKind(
        "cache_only_deterministic",
        NOTE,
        "the cache is on, but keeps only embeddings and calls with temperature 0 or a seed.",
        "Set cache_params.mode: all, or send temperature: 0, if other calls should be cached, too.",
    ),
    FindingKind(
        "open_to_all",
        WARNING,
        "it listens on {address}, which other machines reach, and no callers are configured.",
        "Add general_settings.callers or keys_required: true, or set bind_address: 127.0.0.1.",
    ),
    FindingKind(
        "no_cooldown",
        WARNING,
        "cooldown_time is 0: an endpoint that fails is asked again at once.",
        "Remove cooldown_time (default: 60 s), or set a few seconds.",
    ),
    FindingKind(
        "long_cooldown",
        WARNING,
        "cooldown_time is {seconds:g} s: an endpoint that failed stays out for long.",
        "Lower it: repeated failures lengthen the cooldown by themselves (default: 60 s).",
    ),
    FindingKind(
        "fails_too_many",
        WARNING,
        "allowed_fails is {fails}: a dead endpoint gets as many calls before it is avoided.",
        "Lower it (default: 3).",
    ),
    FindingKind(
        "no_retries",
        WARNING,
        "num_retries is 0: a call that fails at one endpoint is not tried at another.",
        "Remove num_retries (default: 3), or set at least 1.",
    ),
    FindingKind(
        "waits_longer_than_total",
        WARNING,
        "queue.max_wait_s ({wait:g} s) is not shorter than timeouts.total_s ({total:g} s).",
        "Lower queue.max_wait_s: a call that waits that long has no time left for its answer.",
    ),
    FindingKind(
        "slow_connect_timeout",
        WARNING,
        "timeouts.connect_s is {seconds:g} s: an address that is gone holds calls for that long.",
        "Lower it (default: 5 s), so that another endpoint is tried soon.",
    ),
    # ---- files and this machine
    FindingKind(
        "secrets_readable",
        WARNING,
        "the config holds a secret, and every user of this machine may read it (mode {mode}).",
        "Run: chmod 600 {file}; or write os.environ/NAME instead of the secret.",
    ),
    FindingKind(
        "few_files",
        WARNING,
        "this process may open {limit} files, enough for about {calls} calls at once; "
        "max_in_flight is {wanted}.",
        "Raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd) to {needed}, or lower "
        "max_in_flight.",
    ),
    FindingKind(
        "more_workers_than_cores",
        WARNING,
        "{workers} workers would share {cores} cores.",
        "Start at most one worker for each core: --workers {cores}.",
    ),
    FindingKind(
        "slow_python",
        NOTE,
        "this Python ({version}) was built without profile-guided optimisation: a call takes "
        "{more} more CPU.",
        "Use a Python that was built with --enable-optimizations, as distributions and uv have.",
    ),
    FindingKind(
        "authorities_unusable",
        FAULT,
        "it names {file}, whose authorities cannot be read: {why}. No https endpoint is trusted.",
        "Name a PEM file with certificates of authorities, or unset the variable.",
    ),
    FindingKind(
        "disk_full",
        FAULT,
        "{free} are free in {folder}, where {what} is kept.",
        "Free space there, or keep it elsewhere: {key}.",
    ),
    FindingKind(
        "disk_low",
        WARNING,
        "only {free} are free in {folder}, where {what} is kept.",
        "Free space there, or keep it elsewhere: {key}.",
    ),
    FindingKind(
        "own_certificate_unusable",
        FAULT,
        "the certificate that clients get cannot be used: {why}.",
        "Check general_settings.tls: cert and key must exist, be readable and belong together.",
    ),
    FindingKind(
        "own_certificate_expired",
        FAULT,
        "the certificate that clients get has expired.",
        "Renew it, and write it to the file that general_settings.tls.cert names.",
    ),
    # ---- servers of ours
    FindingKind(
        "redis_unreachable",
        FAULT,
        "the server cannot be used: {why}. Instances share nothing, and each counts on its own.",
        "Start it, or correct redis_url; check firewall, password and TLS (rediss://).",
    ),
    FindingKind(
        "redis_read_only",
        FAULT,
        "the server is a replica, which takes no counts and locks: instances share nothing.",
        "Name the primary in redis_url.",
    ),
    FindingKind(
        "redis_slow",
        WARNING,
        "a PING takes {ms:.0f} ms (median of {count}): limits are shared late.",
        "Use a server in the same zone as the proxies (below 10 ms), and look at its load.",
    ),
    FindingKind(
        "redis_evicts",
        WARNING,
        "maxmemory-policy is {policy}: when its memory is full, it deletes counts and locks.",
        "Set maxmemory-policy noeviction on the server (CONFIG SET maxmemory-policy noeviction).",
    ),
    FindingKind(
        "database_unusable",
        FAULT,
        "calls, keys and costs cannot be kept: {why}",
        "Mend it, or set database_url: off if nothing is to be kept.",
    ),
)
