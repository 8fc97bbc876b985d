"""Builds small configs, models and traffic to simulate."""

from random import Random

from llmproxy.batteries.config_file import parse_config
from llmproxy.tools.simulate.model import Model
from llmproxy.tools.simulate.run import simulate
from llmproxy.tools.simulate.traffic import RateStep, steady

AZURE = "https://{name}.openai.azure.com/openai/v1/"


def endpoint(name, *, rpm=None, tpm=None, tier=0, azure=False, price=None):
    """Return one endpoint's line of a config."""
    limits = {"rpm": rpm, "tpm": tpm}
    given = ", ".join(f"{key}: {value}" for key, value in limits.items() if value)
    parts = [f"name: {name}", "model: m", f"tier: {tier}"]
    parts += [f"limits: {{{given}}}"] if given else []
    parts += [f"price: {{input: {price[0]}, output: {price[1]}}}"] if price else []
    base = f", base_url: '{AZURE.format(name=name)}'" if azure else ""
    parts.append(f"params: {{api_key: the-key-of-{name}{base}}}")
    return f"      - {{{', '.join(parts)}}}"


def config(*endpoints, **settings):
    """Return a config with one group, `g`."""
    lines = ["model_groups:", "  - model_group: g", "    models:", *endpoints]
    lines += ["general_settings:", *(f"  {key}: {value}" for key, value in settings.items())]
    return parse_config("\n".join(lines if settings else lines[:-1]), {}, file="test.yaml")


def cheap_and_dear(**settings):
    """Two cheap Azure endpoints, together 20 calls per second, and a dear one."""
    return config(
        endpoint("one", rpm=600, tpm=1_000_000, azure=True, price=(2, 8)),
        endpoint("two", rpm=600, tpm=1_000_000, azure=True, price=(2, 8)),
        endpoint("dear", tier=1, price=(10, 30)),
        **settings,
    )


def calls(*steps, groups=("g",), tokens=(500, 200), seed=1):
    """Return traffic. Each step is (calls per second, seconds)."""
    return steady([RateStep(*step) for step in steps], groups, tokens, Random(seed))


def run(config, traffic, *, seed=1, instances=1, **endpoints):
    """Simulate. `endpoints`: how each one behaves, in the format of a model file."""
    model = Model.model_validate({"endpoints": endpoints})
    return simulate(config, model, traffic, seed=seed, instances=instances)


def served_by(results):
    return {endpoint.name: endpoint.served for endpoint in results.endpoints}
