"""What the config of `llmproxy init` says: the vendors, the models, the address, the callers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llmproxy.batteries.config_file import VENDORS

# Where a person gets a key; named in the file of variables.
KEY_PAGES = {
    "openai": "https://platform.openai.com/api-keys",
    "azure": "the Azure portal: the resource, Keys and Endpoint",
    "anthropic": "https://console.anthropic.com/settings/keys",
    "gemini": "https://aistudio.google.com/apikey",
    "mistral": "https://console.mistral.ai/api-keys",
    "groq": "https://console.groq.com/keys",
    "openrouter": "https://openrouter.ai/settings/keys",
    "xai": "https://console.x.ai",
    "deepseek": "https://platform.deepseek.com/api_keys",
    "bedrock": "the AWS console: Bedrock, API keys",
}
LOCAL = ("127.0.0.1", "localhost", "::1")
EVERY_MODEL = "*"


class WrongAnswer(Exception):
    """An answer that cannot be used; the text says what was expected."""


@dataclass(frozen=True)
class ChosenVendor:
    """A vendor to call. `variables`: the names of those that its endpoints read, the key first."""

    name: str
    variables: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """All answers. `models`: the names of groups -> the vendors that serve each, in this order."""

    vendors: tuple[ChosenVendor, ...]
    models: Mapping[str, tuple[ChosenVendor, ...]]
    host: str
    port: int
    with_key: bool

    @property
    def is_open(self) -> bool:
        """Whether other machines reach the address."""
        return self.host not in LOCAL


def known_vendors() -> dict[str, ChosenVendor]:
    """Return every vendor that can be called with a key and its usual address."""
    keys: dict[str, str] = {}
    for variable, provider in VENDORS.items():
        keys.setdefault(provider, variable)
    vendors = {
        "openai": ChosenVendor("openai", ("OPENAI_API_KEY",)),
        "azure": ChosenVendor("azure", ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT")),
    }
    for name, key in keys.items():
        more = ("AWS_REGION",) if name == "bedrock" else ()
        vendors[name] = ChosenVendor(name, (key, *more))
    return vendors


def found_vendors(environ: Mapping[str, str]) -> list[str]:
    """Return the vendors whose key is in the environment."""
    present = {name for name, value in environ.items() if value.strip()}
    named = {provider for name, provider in VENDORS.items() if name in present}
    own = {vendor.name for vendor in known_vendors().values() if vendor.variables[0] in present}
    return [name for name in known_vendors() if name in named | own]


def vendors_of(text: str, environ: Mapping[str, str]) -> tuple[ChosenVendor, ...]:
    """Parse names of vendors. Raises WrongAnswer."""
    known = known_vendors()
    names = list(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    if wrong := [name for name in names if name not in known]:
        raise WrongAnswer(f"There is no vendor {wrong[0]!r} here. There are: {', '.join(known)}.")
    if not names:
        raise WrongAnswer("Name at least one vendor.")
    return tuple(_as_set(known[name], environ) for name in names)


def _as_set(vendor: ChosenVendor, environ: Mapping[str, str]) -> ChosenVendor:
    """Return the vendor with the variable of its key that is set, where it has several."""
    for variable, provider in VENDORS.items():
        if provider == vendor.name and environ.get(variable, "").strip():
            return ChosenVendor(vendor.name, (variable, *vendor.variables[1:]))
    return vendor


def proposed_models(vendors: tuple[ChosenVendor, ...]) -> str:
    """Return what serves every model of every vendor."""
    if len(vendors) == 1:
        return EVERY_MODEL
    return ",".join(f"{vendor.name}/*" for vendor in vendors)


def models_of(text: str, vendors: tuple[ChosenVendor, ...]) -> dict[str, tuple[ChosenVendor, ...]]:
    """Parse names of models: NAME is served by all vendors, VENDOR/NAME by one. Raises
    WrongAnswer."""
    by_name = {vendor.name: vendor for vendor in vendors}
    models: dict[str, tuple[ChosenVendor, ...]] = {}
    for name in dict.fromkeys(part.strip() for part in text.split(",") if part.strip()):
        vendor = by_name.get(name.partition("/")[0])
        if not (name.isascii() and name.isprintable() and " " not in name and '"' not in name):
            raise WrongAnswer(f"{name!r} is no name of a model.")
        models[name] = vendors if vendor is None or "/" not in name else (vendor,)
    if not models:
        raise WrongAnswer("Name at least one model, or * for every one.")
    if EVERY_MODEL in models and len(vendors) > 1:
        raise WrongAnswer(
            "* with several vendors does not say which model is whose. Write "
            f"{proposed_models(vendors)}, or the names of the models."
        )
    return models


def address_of(text: str) -> tuple[str, int]:
    """Parse HOST:PORT, PORT or HOST. Raises WrongAnswer."""
    host, colon, port = text.strip().rpartition(":")
    if not colon:
        host, port = ("127.0.0.1", port) if port.isdecimal() else (port, "4000")
    host = host.removeprefix("[").removesuffix("]")
    if not host or " " in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise WrongAnswer(f"Expected HOST:PORT such as 127.0.0.1:4000, found {text!r}.")
    return host, int(port)
