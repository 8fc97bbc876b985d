"""Simulated vendors that write a bill of their own.

A vendor charges for what it has done: for a prompt as soon as it answers it, and for each token
that it has made, also if nobody was there any more. Its prices are on no other page than this.
"""

import json
from dataclasses import dataclass, field
from fractions import Fraction

from llmproxy.tools.simulator.chat import chat_completion
from llmproxy.tools.simulator.operations import OPERATIONS

END_OF_MARK = "|"
NANO_PER_DOLLAR_A_MILLION = 1000


@dataclass(frozen=True)
class Tariff:
    """Dollars per million tokens."""

    input: Fraction
    cached: Fraction
    output: Fraction

    def for_the_config(self):
        return {
            "input": float(self.input),
            "cached_input": float(self.cached),
            "output": float(self.output),
        }


@dataclass
class Line:
    """One answer on a bill. `mark` is what the client wrote in front of its question."""

    mark: str
    vendor: str
    prompt: int
    cached: int
    output: int

    def nano_usd(self, tariff):
        fresh = (self.prompt - self.cached) * tariff.input
        total = fresh + self.cached * tariff.cached + self.output * tariff.output
        return round(total * NANO_PER_DOLLAR_A_MILLION)


@dataclass
class Bill:
    """What one vendor charges."""

    vendor: str
    lines: list[Line] = field(default_factory=list)

    def operations(self):
        """The vendor's operations, each chat of which is a line of the bill."""
        return {**OPERATIONS, "POST chat/completions": self._chat}

    def _chat(self, call, state):
        asked = json.loads(call.body)
        mark = asked["messages"][-1]["content"].partition(END_OF_MARK)[0]
        wanted = bool((asked.get("stream_options") or {}).get("include_usage"))
        if asked.get("stream"):  # the vendor counts whether the client wants to know or not
            call.body = json.dumps({**asked, "stream_options": {"include_usage": True}}).encode()
        reply = chat_completion(call, state)
        if reply.events is None:
            self._add(mark, json.loads(reply.body)["usage"])
        else:
            events = list(reply.events)
            usage = next(filter(None, (_usage_in(event) for event in reversed(events))))
            line = self._add(mark, {**usage, "completion_tokens": 0})
            reply.events = _served(events, line, wanted=wanted)
        return reply

    def _add(self, mark, usage):
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        line = Line(mark, self.vendor, usage["prompt_tokens"], cached, usage["completion_tokens"])
        self.lines.append(line)
        return line


def _served(events, line, *, wanted):
    """Yield the events, and count the tokens of those that were sent."""
    for event in events:
        content = _content_of(event)  # None: the end
        if content is None:
            yield event
            continue
        line.output += _has_text(content)
        if wanted:
            yield event
        elif content["choices"]:  # else it is the usage
            content.pop("usage", None)
            yield b"data: " + json.dumps(content).encode() + b"\n\n"


def _content_of(event):
    text = event.removeprefix(b"data: ").strip()
    return json.loads(text) if text.startswith(b"{") else None


def _usage_in(event):
    return (_content_of(event) or {}).get("usage")


def _has_text(content):
    return any(choice["delta"].get("content") for choice in content["choices"])
