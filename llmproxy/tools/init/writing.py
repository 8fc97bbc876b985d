"""The texts of `llmproxy init`: the config, and the file with the values of its variables. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from llmproxy.tools.init.plan import EVERY_MODEL, KEY_PAGES, ChosenVendor, Plan

CLIENT_KEY = "LLMPROXY_CLIENT_KEY"
ADMIN_KEY = "LLMPROXY_ADMIN_KEY"


HEAD = """\
# The config of LLMProxy, written by `llmproxy init`.
#   llmproxy check     finds every mistake, with its line
#   llmproxy serve     starts the proxy
# os.environ/NAME is the value of a variable, so this file holds no secret. Every key, its
# default and its meaning: docs/reference/configuration.md
"""
HEAD_OF_VARIABLES = """\
# The variables of llmproxy.yaml, written by `llmproxy init`. Keep this file out of version
# control.
#   set -a; . ./llmproxy.env; set +a          in a shell
#   EnvironmentFile=/etc/llmproxy.env         in a systemd unit"""


def config_text(plan: Plan) -> str:
    """Return the config."""
    return "\n".join([HEAD, *_groups(plan), *_settings(plan), ""])


def variables_text(plan: Plan, environ: Mapping[str, str], made: Mapping[str, str]) -> str:
    """Return the file of variables. `made`: the keys that were made for it. What is set in the
    environment stays there."""
    return "\n".join([*_variables(plan, environ, made), ""])


def missing_variables(plan: Plan, environ: Mapping[str, str]) -> list[str]:
    """Return the variables that a person has to fill in."""
    wanted = [name for vendor in plan.vendors for name in vendor.variables]
    return [name for name in wanted if not environ.get(name, "").strip()]


def _groups(plan: Plan) -> Iterator[str]:
    yield "# Clients name a group in `model`. An endpoint that fails or is full is passed over."
    yield "model_groups:"
    for name, vendors in plan.models.items():
        if name == EVERY_MODEL:
            yield "  # Every model that a client names."
        elif name.endswith("/*"):
            yield f"  # Every model of {vendors[0].name}: clients write {name[:-1]}NAME."
        yield f'  - model_group: "{name}"'
        yield "    models:"
        for tier, vendor in enumerate(vendors):
            yield from _endpoint(name, vendor, tier)
    yield ""


def _endpoint(group: str, vendor: ChosenVendor, tier: int) -> Iterator[str]:
    yield f"      - name: {vendor.name}"
    if group != EVERY_MODEL:
        model = group.removeprefix(f"{vendor.name}/")
        line = f'        model: "{model}"'
        is_azure = vendor.name == "azure"
        yield _noted(line, "on Azure: the name of the deployment") if is_azure else line
    if tier:
        yield _noted(f"        tier: {tier}", f"asked after tier {tier - 1}")
    yield f"        provider: {vendor.name}"
    yield "        params:"
    yield f"          api_key: os.environ/{vendor.variables[0]}"
    if vendor.name == "azure":
        yield '          base_url: "${AZURE_OPENAI_ENDPOINT}/openai/v1/"'
    elif vendor.name == "bedrock":
        yield '          base_url: "https://bedrock-runtime.${AWS_REGION}.amazonaws.com"'


def _settings(plan: Plan) -> Iterator[str]:
    yield "general_settings:"
    reach = "other machines reach it" if plan.is_open else "this machine only"
    yield _noted(f'  bind_address: "{plan.host}"', reach)
    yield f"  bind_port: {plan.port}"
    if plan.with_key:
        yield _noted("  callers:", "clients send one of these keys as their API key")
        yield f"    - {{name: everyone, key: os.environ/{CLIENT_KEY}}}"
    else:
        yield _noted("  # callers:", "with callers, clients need one of their keys")
        yield "  #   - {name: search, key: os.environ/SEARCH_KEY, limits: {rpm: 60}}"
    if plan.is_open:
        yield f"  # It opens the dashboard and /admin.\n  admin_key: os.environ/{ADMIN_KEY}"
    yield _noted("  # cache: true", "answers to repeated calls, from memory")
    yield _noted("  # redis_url: redis://127.0.0.1", "limits that several instances share")


def _noted(line: str, note: str) -> str:
    return f"{line:<40} # {note}"


def _variables(plan: Plan, environ: Mapping[str, str], made: Mapping[str, str]) -> Iterator[str]:
    yield HEAD_OF_VARIABLES
    for vendor in plan.vendors:
        yield ""
        yield f"# {vendor.name}: a key is made at {KEY_PAGES.get(vendor.name, 'its console')}"
        for name in vendor.variables:
            if environ.get(name, "").strip():
                yield f"# {name}=     (set in the environment when this file was written)"
            else:
                yield f"{name}={_example(name)}"
    for name, value in made.items():
        yield ""
        yield f"# {_made_for(name)}"
        yield f"{name}={value}"


def _example(name: str) -> str:
    if name == "AZURE_OPENAI_ENDPOINT":
        return "https://RESOURCE.openai.azure.com"
    return "us-east-1" if name == "AWS_REGION" else "replace-me"


def _made_for(name: str) -> str:
    if name == ADMIN_KEY:
        return "Opens the dashboard and the commands that ask a running proxy."
    return "What clients send as their API key."
