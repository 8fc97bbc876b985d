"""The price of an endpoint: the config's, else the list's, else none and a warning."""

import pytest
import yaml

from llmproxy.config import Price
from llmproxy.config_file import parse_config
from llmproxy.providers import endpoints_of
from llmproxy.runtime.prices import no_list, price_of, prices_of
from tests.support.proxy import config_for

URL = "http://127.0.0.1:1/v1"
LISTED = Price(input=1.0, output=2.0)
OWN = Price(input=0.5, output=0.5)


def endpoints(**entry):
    """Return the one endpoint of a config, with a key of its entry."""
    entry = {"name": "only", "model": "gpt-9", "params": {"base_url": URL}, **entry}
    config = parse_config(yaml.safe_dump(config_for(entry)), {}, file="test.yaml")
    return endpoints_of(config)["gpt-4.1"]


def listed(provider, model):
    return LISTED if (provider, model) == ("generic", "gpt-9") else "not listed"


def unlisted(provider, model):
    return "the list has no model of that name"


def test_the_price_in_the_config_precedes_the_list():
    (endpoint,) = endpoints(price={"input": 0.5, "output": 0.5})
    assert price_of(endpoint, listed) == OWN
    assert prices_of([endpoint], listed) == {("gpt-4.1", "only"): OWN}


def test_an_endpoint_without_a_price_has_the_list_price_of_its_model():
    (endpoint,) = endpoints()
    assert price_of(endpoint, listed) == LISTED
    assert prices_of([endpoint], listed) == {("gpt-4.1", "only"): LISTED}


@pytest.mark.parametrize(
    ("price_list", "why"),
    [
        (unlisted, "the list has no model of that name"),
        (no_list, "this installation has no `llmproxy.price_list`"),
    ],
)
def test_an_unknown_price_is_warned_of_with_its_reason_and_the_remedy(price_list, why, caplog):
    (endpoint,) = endpoints()
    assert price_of(endpoint, price_list) is None
    assert f"endpoint only in the group gpt-4.1: {why}." in caplog.text
    assert "`price`" in caplog.text


def test_costs_are_counted_without_a_warning(caplog):
    assert prices_of(endpoints(), unlisted) == {}
    assert not caplog.text
