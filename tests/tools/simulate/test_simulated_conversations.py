"""What prompt caches hold of conversations, with affinity and without."""

from random import Random

from llmproxy.tools.simulate.report import as_text, report_of
from llmproxy.tools.simulate.run import without_affinity
from llmproxy.tools.simulate.traffic import in_conversations
from tests.tools.simulate.worlds import calls, config, endpoint, run, served_by

FOUR = config(*map(endpoint, "abcd"))


def conversations(turns=10, rate=2, seconds=600, tokens=(800, 200)):
    return in_conversations(calls((rate, seconds), tokens=tokens), turns, Random(1))


def test_each_turn_repeats_those_before_it():
    traffic = conversations(turns=3, rate=1, seconds=100)
    first, *others = [a for a in traffic.arrivals if a.conversation == "g 0"]
    assert (first.turn, first.input_tokens) == (0, 800)
    assert [(a.turn, a.input_tokens) for a in others] == [(1, 1800), (2, 2800)]
    assert all(a.at_s < 100 for a in traffic.arrivals)


def test_with_affinity_prompt_caches_hold_more_and_weights_hold():
    traffic = conversations()
    with_affinity, without = run(FOUR, traffic), run(without_affinity(FOUR), traffic)
    assert with_affinity.cached_share > 0.7
    assert with_affinity.cached_share > without.cached_share + 0.2
    share = with_affinity.served / 4
    assert all(abs(n - share) < 0.1 * share for n in served_by(with_affinity).values())


def test_the_report_compares_both():
    results = run(FOUR, conversations())
    assert report_of(results).prompt_caches is None
    results.cached_without_affinity = 0.25
    report = report_of(results)
    assert report.prompt_caches.without_affinity == 0.25
    assert report.prompt_caches.cached_share == round(results.cached_share, 4)
    assert "of the input tokens; 25.0% without affinity" in as_text(results)
    assert sum(one.cached_tokens for one in report.endpoints) > 0


def test_short_prompts_are_not_cached():
    assert run(FOUR, conversations(turns=2, tokens=(400, 50))).cached_share == 0
