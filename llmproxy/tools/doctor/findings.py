"""A finding of `llmproxy doctor`. What can be found is in `kinds` and `live_kinds`."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from llmproxy.tools.doctor.kinds import LOCAL_KINDS, Severity
from llmproxy.tools.doctor.live_kinds import LIVE_KINDS

MAX_CHARS = 400


class DoctorFinding(msgspec.Struct, frozen=True):
    """What was found at one subject: an endpoint, a group, a file, a server, this machine."""

    code: str
    severity: Severity
    subject: str
    cause: str
    remedy: str


_BY_CODE = {kind.code: kind for kind in (*LOCAL_KINDS, *LIVE_KINDS)}


def found(code: str, subject: str, /, **facts: object) -> DoctorFinding:
    """Return a finding of a kind, with its facts filled in."""
    kind = _BY_CODE[code]
    cause, remedy = kind.cause.format(**facts), kind.remedy.format(**facts)
    return DoctorFinding(code, kind.severity, subject, one_line(cause), one_line(remedy))


def one_line(text: str) -> str:
    """Return a text without line breaks and control characters."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))


def bounded(finding: DoctorFinding) -> DoctorFinding:
    """Return a finding whose cause is not too long. Half a secret is not masked: mask it first."""
    cause = finding.cause
    return replace(finding, cause=cause if len(cause) <= MAX_CHARS else f"{cause[:MAX_CHARS]}...")
