"""`price_list: FILE`: list prices of one's own, or newer ones, without a release."""

import json

import pytest
import yaml

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.price_list import with_list_prices
from llmproxy.composition import config_warnings
from llmproxy.errors import ConfigError
from llmproxy.providers import endpoints_of
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded

URL = "http://127.0.0.1:1/v1"


def listing(dollars):
    """Return a list with one model."""
    prices = {
        "input_mtok": dollars,
        "output_mtok": {"base": 6, "tiers": [{"start": 9, "price": 7}]},
    }
    model = {"id": "gpt-4.1", "match": {"equals": "gpt-4.1"}, "prices": prices}
    named = {"id": "openai", "name": "OpenAI", "api_pattern": "https://api.openai.com"}
    return [{**named, "models": [model]}]


def config_text(file, **entry):
    names = ("gpt-4.1", "gpt-5")
    entries = [
        {"name": name, "model": name, "provider": "openai", "params": {"base_url": URL}, **entry}
        for name in names
    ]
    return yaml.safe_dump(config_for(*entries, price_list=str(file), access_log=False))


def prices(file, **entry):
    config = parse_config(config_text(file, **entry), {}, file="test.yaml")
    return [
        endpoint.price for endpoint in with_list_prices(config, endpoints_of(config))["gpt-4.1"]
    ]


def test_the_file_precedes_the_installed_list_which_has_the_rest(tmp_path):
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(listing(1.5)))
    own, installed = prices(file)
    assert (own.input, own.output, own.above[9].output) == (1.5, 6, 7)
    assert installed.input == 1.25


def test_a_price_in_the_config_precedes_both(tmp_path):
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(listing(1.5)))
    assert [price.input for price in prices(file, price={"input": 9, "output": 9})] == [9, 9]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "cannot be read (No such file"),
        ("", "no list of prices"),
        ("{}", "no list of providers"),
        ("[]", "no list of providers"),
        ("[1]", "no list of prices (0: Input should be a dict"),
        ('[{"id": "openai"}]', "no list of prices (0.name: Field required"),
        (json.dumps(listing("much")), "no list of prices (input_mtok"),
    ],
)
def test_a_file_that_is_no_list_is_refused_with_what_is_wrong(text, found, tmp_path):
    file = tmp_path / "prices.json"
    if text is not None:
        file.write_text(text)
    config = parse_config(config_text(file), {}, file="test.yaml")
    with pytest.raises(ConfigError) as refused:
        config_warnings(config)  # of `llmproxy check`
    assert str(file) in str(refused.value)
    assert found in str(refused.value)
    assert "remove price_list" in str(refused.value)


@bounded()
async def test_a_reload_reads_the_file_again_and_a_bad_one_changes_nothing(tmp_path):
    file, config = tmp_path / "prices.json", tmp_path / "llmproxy.yaml"
    file.write_text(json.dumps(listing(1.5)))
    async with serve_proxy(config_text(file), path=config) as proxy:

        def price():
            return proxy.runtime.resources.prices["gpt-4.1", "gpt-4.1"].input

        assert price() == 1.5
        file.write_text(json.dumps(listing(2.5)))
        await proxy.reloader.reload()
        assert price() == 2.5
        file.write_text("[1]")
        with pytest.raises(ConfigError):
            await proxy.reloader.reload()
        assert price() == 2.5
