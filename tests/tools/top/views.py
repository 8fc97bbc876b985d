"""Views of made-up proxies, and the lines that are drawn of them."""

from datetime import UTC

import msgspec

from llmproxy.tools.top.controls import Controls, rows_of, shown_calls, shown_groups
from llmproxy.tools.top.frame import UNTOUCHED, frame
from llmproxy.tools.top.look import Look
from llmproxy.tools.top.payloads import Calls, History, NewPoint, ShownProxy
from llmproxy.tools.top.view import View
from tests.tools.top import made_up
from tests.tools.top.made_up import NOW

AT_UTC = Look(zone=UTC)


def state(*arguments, **changes):
    return msgspec.convert(made_up.state(*arguments, **changes), ShownProxy)


def calls(*finished):
    return msgspec.convert({"calls": finished}, Calls)


def history(points=None):
    return msgspec.convert(points or made_up.history(), History)


def new_point(number, **changes):
    return msgspec.convert({"step_s": 5, "point": made_up.point(number, **changes)}, NewPoint)


def view(*heard, only=None):
    """A view after these messages; by default of a healthy proxy with traffic."""
    seen = View(only=only)
    for message in heard or (state(), history(), calls(*made_up.calls())):
        seen = seen.after(message, NOW)
    return seen


def drawn(seen, width=80, height=24, *, now=NOW, look=AT_UTC, controls=UNTOUCHED):
    return [line.plain.rstrip() for line in frame(seen, now, (width, height), look, controls)]


def line_with(text, lines):
    """The one line that has this text."""
    (found,) = [line for line in lines if text in line]
    return found


def groups():
    """Two groups with three endpoints."""
    return state(
        [
            made_up.group(
                "gpt-4.1",
                made_up.endpoint("azure-east"),
                made_up.endpoint("azure-west", "open", recent=made_up.recent(5, 5)),
            ),
            made_up.group(
                "gpt-4o",
                made_up.endpoint("openai", recent=made_up.recent(900)),
                recent=made_up.recent(900),
            ),
        ]
    ).groups


def press(keys, controls=None, calls=()):
    """Press keys one after the other; return the controls and the commands that were confirmed."""
    controls, commands = controls or Controls(), []
    for key in keys:
        rows = rows_of(shown_groups(groups(), controls))
        shown = [call.key for call in shown_calls(calls, controls)]
        controls, command = controls.after(key, rows, shown)
        commands += [command] if command else []
    return controls, commands
