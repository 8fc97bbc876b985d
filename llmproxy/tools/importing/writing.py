"""Writes a described gateway as our config, with comments where a reader would ask."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any
from urllib.parse import urlsplit

from llmproxy.tools.importing.gateway import Gateway, ImportedEndpoint, ImportedGroup, Values

MAX_WEIGHT = 1_000_000
REFERENCE = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)|(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)")
_PLAIN = re.compile(r"[A-Za-z_/$][A-Za-z0-9_./:@$ {}+~^*-]*(?<![: ])")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "~", ""}


def written(gateway: Gateway, head: Sequence[str]) -> str:
    """Return the YAML text of a gateway. `head`: its first lines, as comments."""
    lines = [f"# {line}".rstrip() for line in head]
    lines += ["", "model_groups:"]
    for group in gateway.groups.values():
        name_endpoints(group)
        lines += _group(group)
    lines.append("general_settings:" if gateway.settings else "# general_settings: all defaults")
    for key, value in gateway.settings.items():
        if comment := gateway.comments.get(key):
            lines += _comment(comment, 2)
        lines += _entry(key, value, 2)
    return "\n".join(lines) + "\n"


def variables(text: str) -> list[str]:
    """Return the environment variables that a config needs, in order."""
    found: dict[str, None] = {}
    for match in REFERENCE.finditer(_without_comments(text)):
        if text[match.end() : match.end() + 2] != ":-":
            found[match[1] or match[2]] = None
    return list(found)


def escaped(text: str) -> str:
    """Return how a literal text is written so that it is not taken for a reference."""
    if re.fullmatch(r"\$[A-Za-z_]\w*", text):
        return f"${text}"
    return text.replace("${", "$${")


def name_endpoints(group: ImportedGroup) -> None:
    """Give each endpoint without a name one, unique in its group."""
    taken = {endpoint.name for endpoint in group.endpoints if endpoint.name}
    wanted = [_name(endpoint) for endpoint in group.endpoints]
    for endpoint, name in zip(group.endpoints, wanted, strict=True):
        if endpoint.name:
            continue
        numbers = range(1, len(group.endpoints) + len(taken) + 2)
        alone = wanted.count(name) == 1 and name not in taken
        endpoint.name = (
            name if alone else next(n for i in numbers if (n := f"{name}-{i}") not in taken)
        )
        taken.add(endpoint.name)


def _name(endpoint: ImportedEndpoint) -> str:
    for key in ("azure_endpoint", "base_url"):
        address = str(endpoint.params.get(key, ""))
        if "os.environ/" in address or "${" in address or not address:
            continue
        try:
            host = urlsplit(address).hostname or ""
        except ValueError:  # brackets that are no IPv6 address; `check` says so
            continue
        if host.endswith((".azure.com", ".services.ai.azure.com")):
            return host.partition(".")[0]
        if "provider" not in endpoint.extra:
            return re.sub(r"[^A-Za-z0-9.-]", "-", host) or "endpoint"
    return str(
        endpoint.extra.get("provider", "azure" if "api_version" in endpoint.params else "openai")
    )


def whole_weights(weights: Sequence[float]) -> list[int]:
    """Return weights in the same proportion as whole numbers, as small as possible."""
    fractions = [Fraction(weight).limit_denominator(10_000) for weight in weights]
    common = math.lcm(*(fraction.denominator for fraction in fractions))
    whole = [int(fraction * common) for fraction in fractions]
    divisor = math.gcd(*whole) or 1
    whole = [number // divisor for number in whole]
    if (largest := max(whole, default=0)) > MAX_WEIGHT:
        whole = [n and max(1, round(n * MAX_WEIGHT / largest)) for n in whole]
    return whole


def _group(group: ImportedGroup) -> Iterator[str]:
    yield from _comment(group.comment, 2)
    yield f"  - model_group: {_scalar(group.name)}"
    for key, value in group.extra.items():
        yield from _entry(key, value, 4)
    yield "    models:"
    for endpoint in group.endpoints:
        yield from _endpoint(endpoint)
    yield ""


def _endpoint(endpoint: ImportedEndpoint) -> Iterator[str]:
    first: Values = {} if endpoint.model is None else {"model": endpoint.model}
    first["name"] = endpoint.name
    if endpoint.weight is not None:
        first["weight"] = int(endpoint.weight)
    if endpoint.tier:
        first["tier"] = endpoint.tier
    yield from _comment(endpoint.comment, 6)
    lines = [line for key, value in first.items() for line in _entry(key, value, 8)]
    lines += [line for key, value in endpoint.extra.items() for line in _entry(key, value, 8)]
    if endpoint.params:
        lines += _entry("params", endpoint.params, 8)
    yield "      - " + lines[0].lstrip()
    yield from lines[1:]


def _entry(key: str, value: Any, indent: int) -> Iterator[str]:
    """Yield the lines of a key. Short lists of scalars stay on one line."""
    space = " " * indent
    if isinstance(value, dict) and value:
        yield f"{space}{_scalar(key)}:"
        for inner, of_inner in value.items():
            yield from _entry(str(inner), of_inner, indent + 2)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        yield f"{space}{_scalar(key)}:"
        for item in value:
            if isinstance(item, dict) and item:
                lines = [line for k, v in item.items() for line in _entry(str(k), v, indent + 4)]
                yield f"{space}  - {lines[0].lstrip()}"
                yield from lines[1:]
            else:
                yield f"{space}  - {json.dumps(item, ensure_ascii=False)}"
    elif isinstance(value, list | tuple):
        yield f"{space}{_scalar(key)}: [{', '.join(_scalar(item, flow=True) for item in value)}]"
    else:
        yield f"{space}{_scalar(key)}: {'{}' if value == {} else _scalar(value)}"


def _scalar(value: Any, *, flow: bool = False) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.12g}" if "e" not in f"{value:.12g}" else f"{value:.15f}".rstrip("0")
    if isinstance(value, int):
        return str(value)
    text = str(value)
    plain = _PLAIN.fullmatch(text) and ": " not in text and text.lower() not in _WORDS
    if plain and text[0] not in "*" and not (flow and re.search(r"[{},*$]", text)):
        return text
    return json.dumps(text, ensure_ascii=False)


def _comment(text: str, indent: int) -> list[str]:
    return [f"{' ' * indent}# {line}" for line in text.splitlines()]


def _without_comments(text: str) -> str:
    """Return a text whose comment lines are blank, of the same length."""
    return re.sub(r"(?m)^ *#.*$", lambda match: " " * len(match[0]), text)
