"""List prices are found by provider and model; an unknown one has its reason."""

import subprocess
import sys

import pytest

from llmproxy.batteries.price_list import list_price
from llmproxy.batteries.price_list.genai import LISTED
from llmproxy.config import Price
from llmproxy.providers.registry import BY_NAME


def test_a_model_of_openai_has_its_list_price_with_that_of_cached_input():
    price = list_price("openai", "gpt-4.1")
    assert (price.input, price.output, price.cached_input) == (2.0, 8.0, 0.5)


@pytest.mark.parametrize("provider", ["azure", "azure-classic"])
def test_a_deployment_that_is_called_as_its_model_has_the_models_price(provider):
    price = list_price(provider, "gpt-4.1")
    assert (price.input, price.output, price.cached_input) == (2.0, 8.0, 0.5)


def test_a_dated_name_costs_as_its_model():
    assert list_price("openai", "gpt-4.1-2025-04-14") == list_price("openai", "gpt-4.1")


def test_a_price_that_grows_with_the_prompt_has_its_steps():
    price = list_price("anthropic", "claude-sonnet-4-5")
    assert (price.input, price.output, price.cached_input, price.cache_write) == (3, 15, 0.3, 3.75)
    assert list(price.above) == [200_000]
    longer = price.above[200_000]
    assert (longer.input, longer.output, longer.cached_input) == (6, 22.5, 0.6)


def test_a_service_tier_that_the_list_names_has_its_price_and_others_have_none():
    price = list_price("openai", "gpt-4.1")
    assert (price.tiers["priority"].input, price.tiers["priority"].output) == (3.5, 14.0)
    assert "flex" not in price.tiers


def test_embeddings_have_no_output_to_pay():
    assert list_price("openai", "text-embedding-3-small") == Price(input=0.02, output=0.0)


@pytest.mark.parametrize(
    ("provider", "model", "why"),
    [
        ("azure", "our-deployment", "the list has no model of that name"),
        ("azure", "gpt-4.1-east", "the list has no model of that name"),
        ("openai", "", "the list has no model of that name"),
        ("ollama", "gpt-4.1", "there are no list prices of that provider"),
        ("generic", "gpt-4.1", "there are no list prices of that provider"),
        ("openai", "whisper-1", "it is not priced by tokens of text"),
    ],
)
def test_an_unknown_price_has_its_reason(provider, model, why):
    assert list_price(provider, model) == why


@pytest.mark.parametrize(("provider", "listed"), LISTED.items())
def test_every_provider_that_is_said_to_be_listed_is_ours_and_is_listed(provider, listed):
    from genai_prices.data import providers

    assert provider in BY_NAME
    assert any(vendor.id == listed and vendor.models for vendor in providers)


def python(code, *path):
    """What a fresh interpreter writes."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(map(str, path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_without_the_extra_no_price_is_known_and_the_reason_names_the_remedy(tmp_path):
    (tmp_path / "genai_prices.py").write_text("raise ImportError('not installed')")
    result = python(
        "from llmproxy.batteries.price_list import list_price\n"
        "print(list_price('openai', 'gpt-4.1'))",
        tmp_path,
    )
    assert result.stdout == "the list of prices is missing (pip install genai-prices)\n"


def test_the_list_is_imported_with_the_first_price():
    result = python(
        "import sys, llmproxy.serving, llmproxy.batteries.price_list\n"
        "print([name for name in sys.modules if name.startswith(('genai_prices', 'httpx'))])"
    )
    assert result.stdout == "[]\n"


def test_looking_up_a_price_starts_no_thread_and_opens_no_connection():
    result = python(
        "import sys, threading\n"
        "seen = []\n"
        "sys.addaudithook(lambda name, _: seen.append(name) if name.startswith('socket.') else 0)\n"
        "from llmproxy.batteries.price_list import list_price\n"
        "assert list_price('openai', 'gpt-4.1')\n"
        "print(threading.active_count(), seen)"
    )
    assert result.stdout == "1 []\n"
