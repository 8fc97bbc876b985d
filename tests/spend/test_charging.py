"""What a call costs, and which endpoint is the cheaper one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.spend.charging import cost_usd
from llmproxy.config import Price
from llmproxy.operations import Usage

GPT = Price(input=2.0, output=8.0, cached_input=0.5)
counts = st.integers(0, 10**7)
dollars = st.floats(0, 1_000)


def test_a_million_tokens_cost_what_the_list_says():
    assert cost_usd(GPT, Usage(1_000_000, 0)) == 2.0
    assert cost_usd(GPT, Usage(0, 1_000_000)) == 8.0
    assert cost_usd(GPT, Usage(1_500, 500)) == pytest.approx(0.007)


def test_cached_tokens_are_part_of_the_input_and_have_a_price_of_their_own():
    assert cost_usd(GPT, Usage(1_000_000, 0, 400_000)) == pytest.approx(0.6 * 2.0 + 0.4 * 0.5)


def test_cached_tokens_without_a_price_of_their_own_cost_as_any_input():
    price = Price(input=2.0, output=8.0)
    assert cost_usd(price, Usage(1_000_000, 0, 400_000)) == 2.0


def test_cached_tokens_that_cost_nothing_cost_nothing():
    price = Price(input=2.0, output=8.0, cached_input=0.0)
    assert cost_usd(price, Usage(1_000_000, 0, 1_000_000)) == 0.0


@given(
    st.builds(Price, input=dollars, output=dollars, cached_input=dollars), counts, counts, counts
)
def test_no_more_cached_tokens_are_charged_than_there_are_input_tokens(price, i, o, more):
    """Some vendors count more cached than input tokens: the rest must not become a credit."""
    cost = cost_usd(price, Usage(i, o, i + more))
    assert cost == pytest.approx((i * price.cached_input + o * price.output) / 1_000_000, abs=1e-9)


def test_what_is_written_to_the_vendors_cache_and_what_is_heard_have_prices_of_their_own():
    price = Price(input=3.0, output=15.0, cached_input=0.3, cache_write=3.75, audio_input=40.0)
    usage = Usage(1_000, 100, 200, cache_write_tokens=300, audio_input_tokens=50)
    expected = (450 * 3.0 + 200 * 0.3 + 300 * 3.75 + 50 * 40.0 + 100 * 15.0) / 1_000_000
    assert cost_usd(price, usage) == pytest.approx(expected)


def test_sound_that_is_spoken_costs_its_price_instead_of_the_texts():
    price = Price(input=2.0, output=8.0, audio_output=64.0)
    assert cost_usd(price, Usage(0, 100, audio_output_tokens=60)) == pytest.approx(
        (40 * 8.0 + 60 * 64.0) / 1_000_000
    )


def test_a_request_may_have_a_price_beside_its_tokens():
    assert cost_usd(Price(input=0.0, output=0.0, per_request=0.005), Usage(1, 1)) == 0.005
