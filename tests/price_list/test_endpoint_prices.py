"""The price of an endpoint: the config's, else the list's, else none and a warning."""

import pytest
import yaml

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.price_list import with_list_prices
from llmproxy.batteries.strategies import ALL_STRATEGIES
from llmproxy.config import Price
from llmproxy.providers import endpoints_of
from llmproxy.runtime import pool_of
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded

URL = "http://127.0.0.1:1/v1"


def parsed(strategy="weighted", **entry):
    """Return a config with one endpoint."""
    entry = {"name": "only", "model": "gpt-4.1", "params": {"base_url": URL}, **entry}
    config = config_for({"provider": "openai", **entry}, strategy=strategy)
    return parse_config(yaml.safe_dump(config), {}, file="test.yaml")


def listed(config):
    """Return the price of its endpoint, with the list."""
    (endpoint,) = with_list_prices(config, endpoints_of(config))["gpt-4.1"]
    return endpoint.price


def test_the_price_in_the_config_precedes_the_list():
    assert listed(parsed(price={"input": 0.5, "output": 0.5})) == Price(input=0.5, output=0.5)


def test_an_endpoint_without_a_price_has_the_list_price_of_its_model():
    assert (listed(parsed()).input, listed(parsed()).output) == (2.0, 8.0)


@pytest.mark.parametrize(
    ("endpoints", "why"),
    [
        (with_list_prices, "the list has no model of that name"),
        (lambda _, found: found, "this installation has no `llmproxy.batteries.price_list`"),
    ],
)
def test_an_unknown_price_is_warned_of_with_its_reason_and_the_remedy(endpoints, why, caplog):
    config = parsed("cheapest", model="gpt-99")
    pool_of(config, endpoints=endpoints(config, endpoints_of(config)), strategies=ALL_STRATEGIES)
    assert f"endpoint only in the group gpt-4.1: {why}." in caplog.text
    assert "`price`" in caplog.text


@bounded()
async def test_costs_are_counted_without_a_warning(caplog):
    async with serve_proxy(config_for(URL)) as proxy:
        assert proxy.runtime.resources.prices == {}
    assert not caplog.text
