"""Input tokens are estimated from the bytes of a body, and learned from the returned usage."""

import json
import random
from base64 import b64encode
from statistics import median
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.token_estimates.estimator import Estimator
from llmproxy.batteries.token_estimates.size import KINDS, Size, measure
from tests.token_estimates.bodies import STYLES, calls

CHAT = "chat/completions"
WARM_UP = 50
PNG = random.Random(1).randbytes(30_000)


def body_of(content, **more):
    asked = {"model": "m", "messages": [{"role": "user", "content": content}], **more}
    return json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode()


def image(url, **more):
    return {"type": "image_url", "image_url": {"url": url, **more}}


def shown(image_bytes, media_type="image/png", **more):
    return image(f"data:{media_type};base64,{b64encode(image_bytes).decode()}", **more)


def errors_of(asked):
    """By kind, the relative errors of estimates that are each learned from afterwards."""
    estimator, errors = Estimator(), {}
    for body, operation, tokens in asked:
        size = measure(body, operation)
        error = estimator.tokens(size) / tokens - 1
        errors.setdefault(size.kind, []).append(abs(error))
        estimator.learn(size, tokens)
    return errors


# ---- how near it comes


@pytest.mark.parametrize("style", STYLES)
def test_after_fifty_calls_of_a_kind_half_of_the_estimates_are_within_a_tenth(style):
    errors = errors_of(calls(style))
    judged = [error for of_one_kind in errors.values() for error in of_one_kind[WARM_UP:]]
    assert len(judged) >= 5
    assert median(judged) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_so_they_are_where_one_group_serves_every_style_at_once(seed):
    judged = {
        kind: errors[WARM_UP:]
        for kind, errors in errors_of(calls(*STYLES, seed=seed)).items()
        if len(errors) >= WARM_UP + 20
    }
    assert {"chat text", "chat quoted", "chat dense", "chat text tools"} <= set(judged)
    for kind, errors in judged.items():
        assert median(errors) < 0.1, kind


def test_before_any_usage_is_known_the_estimate_is_of_the_right_size():
    for style in STYLES:
        estimates = [
            Estimator().tokens(measure(body, operation)) / tokens
            for body, operation, tokens in calls(style)
        ]
        assert 0.75 < median(estimates) < 1.75, style


def test_tokens_common_to_all_calls_are_learned_apart_from_the_length():
    estimator, draw = Estimator(), random.Random(1)
    for _ in range(WARM_UP):
        text_bytes = draw.randrange(100, 3_000)
        estimator.learn(Size("chat text", text_bytes, 0), 1_500 + text_bytes // 4)
    for text_bytes in (100, 1_000, 3_000):
        estimate = estimator.tokens(Size("chat text", text_bytes, 0))
        assert estimate == pytest.approx(1_500 + text_bytes / 4, rel=0.05)


def test_calls_that_are_all_of_one_length_teach_the_ratio():
    estimator = Estimator()
    for _ in range(1_000):
        estimator.learn(Size("chat text", 1_000, 0), 200)
    assert estimator.tokens(Size("chat text", 1_000, 0)) == pytest.approx(200, abs=1)
    assert estimator.tokens(Size("chat text", 10_000, 0)) == pytest.approx(2_000, rel=0.01)


@pytest.mark.parametrize("image_tokens", [85, 765, 1_105, 2_550])
def test_what_an_image_costs_is_learned_apart_from_the_text(image_tokens):
    estimator, draw = Estimator(), random.Random(2)
    for _ in range(WARM_UP):
        images, text_bytes = draw.randrange(1, 4), draw.randrange(300, 5_000)
        size = Size("chat text media", text_bytes, 765 * images)
        estimator.learn(size, text_bytes // 4 + image_tokens * images)
    for images in (1, 3):
        estimate = estimator.tokens(Size("chat text media", 1_000, 765 * images))
        assert estimate == pytest.approx(250 + image_tokens * images, rel=0.02)


def test_another_tokenizer_behind_the_same_name_is_followed():
    estimator = Estimator()
    sizes = [Size("chat text", text_bytes, 0) for text_bytes in (200, 900, 4_000, 20_000)] * 100
    for size in sizes:
        estimator.learn(size, size.text_bytes // 5)
    for size in sizes:
        estimator.learn(size, size.text_bytes // 3)
    assert estimator.tokens(Size("chat text", 3_000, 0)) == pytest.approx(1_000, rel=0.1)


def test_a_few_absurd_answers_do_not_spoil_the_rest():
    estimator, draw = Estimator(), random.Random(3)
    for number in range(1_000):
        text_bytes = draw.randrange(100, 30_000)
        absurd = 100 if number > 20 and draw.random() < 0.03 else 1
        estimator.learn(Size("chat text", text_bytes, 0), text_bytes // 4 * absurd)
    assert estimator.tokens(Size("chat text", 4_000, 0)) == pytest.approx(1_000, rel=0.1)


@pytest.mark.parametrize(("returned", "counts_as"), [(100_000, 2_000), (1, 500)])
def test_after_twenty_calls_an_outlier_counts_as_off_by_a_factor_of_two(returned, counts_as):
    odd, usual = Estimator(), Estimator()
    size = Size("chat text", 4_000, 0)
    for _ in range(20):
        for estimator in (odd, usual):
            estimator.learn(size, 1_000)
    odd.learn(size, returned)
    usual.learn(size, counts_as)
    assert odd.tokens(size) == pytest.approx(usual.tokens(size), abs=1)
    assert odd.tokens(size) != pytest.approx(1_000, abs=1)


def test_before_the_twenty_first_call_a_call_counts_as_it_is():
    odd, usual = Estimator(), Estimator()
    size = Size("chat text", 4_000, 0)
    for _ in range(19):
        for estimator in (odd, usual):
            estimator.learn(size, 1_000)
    odd.learn(size, 10_000)
    usual.learn(size, 2_000)
    assert odd.tokens(size) != usual.tokens(size)


def test_usage_of_zero_is_not_learned_from():
    estimator, size = Estimator(), Size("chat text", 4_000, 0)
    before = estimator.tokens(size)
    estimator.learn(size, 0)
    estimator.learn(size, -1)
    assert estimator.tokens(size) == before
    assert estimator.errors() == {}


def test_one_kind_learns_nothing_from_another():
    estimator, size = Estimator(), Size("chat text", 4_000, 0)
    before = estimator.tokens(size)
    estimator.learn(Size("chat dense", 4_000, 0), 4_000)
    assert estimator.tokens(size) == before


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(KINDS)[:3]),
            st.integers(0, 2**25),
            st.integers(0, 10**6),
            st.integers(-1, 2**63),
        ),
        max_size=60,
    )
)
def test_whatever_is_learned_an_estimate_stays_a_positive_number(learned):
    estimator = Estimator()
    for kind, text_bytes, extra_tokens, returned in learned:
        estimator.learn(Size(kind, text_bytes, extra_tokens), returned)
        for size in (Size(kind, 0, 0), Size(kind, 1_000, 765), Size(kind, 2**25, 10**6)):
            assert 1 <= estimator.tokens(size) < 10**12
    for accuracy in estimator.errors().values():
        assert accuracy.median_error >= 0


# ---- the accuracy that it reports


def test_the_accuracy_of_each_learned_kind_is_reported():
    estimator, size = Estimator(), Size("chat text", 4_000, 0)
    for _ in range(200):
        estimator.learn(size, 800)
    (accuracy,) = estimator.errors().values()
    assert accuracy.calls == 200
    assert accuracy.median_error < 0.01


def test_an_unpredictable_kind_has_a_large_error():
    estimator, draw = Estimator(), random.Random(4)
    for _ in range(200):
        estimator.learn(Size("chat text", 4_000, 0), draw.choice((500, 1_500)))
    (accuracy,) = estimator.errors().values()
    assert accuracy.median_error > 0.3


# ---- kinds


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("Why is the sky blue? " * 20, "chat text"),
        (("Why is the sky blue and not green? " * 15 + "Warum? Später! ") * 3, "chat text"),
        ("Warum ist der Himmel blau und nicht grün, und was heißt das für uns? " * 9, "chat latin"),
        ("天空为什么是蓝色的呢" * 20, "chat dense"),
        ("Почему небо голубое? " * 20, "chat dense"),
        (json.dumps([{"name": "Ada", "born": 1815}] * 20), "chat quoted"),
    ],
)
@pytest.mark.parametrize("times", [1, 30])
def test_a_kind_is_what_the_text_is_made_of_long_or_short(content, kind, times):
    assert measure(body_of(content * times), CHAT).kind == kind


@pytest.mark.parametrize("times", [1, 30])
def test_chinese_that_is_written_with_escapes_is_a_kind_of_its_own(times):
    body = json.dumps({"messages": [{"content": "天空为什么是蓝色的呢" * 20 * times}]}).encode()
    assert measure(body, CHAT).kind == "chat escaped"


@pytest.mark.parametrize("times", [1, 30])
def test_arrays_of_token_ids_are_a_kind_of_their_own(times):
    body = json.dumps({"model": "m", "input": [[9906, 1917, 0] * 100 * times]}).encode()
    assert measure(body, "embeddings").kind == "embeddings token ids"


@pytest.mark.parametrize("times", [1, 100])
def test_calls_with_tools_are_a_kind_of_their_own(times):
    tool = {
        "type": "function",
        "function": {"name": "now", "parameters": {"type": "object", "properties": {}}},
    }
    plain = body_of("What time is it? " * times)
    assert measure(plain, CHAT).kind == "chat text"
    assert measure(body_of("What time is it? " * times, tools=[tool]), CHAT).kind == (
        "chat text tools"
    )


@pytest.mark.parametrize(
    ("operation", "family"),
    [
        ("chat/completions", "chat"),
        ("responses", "responses"),
        ("messages", "messages"),
        ("completions", "completions"),
        ("embeddings", "embeddings"),
        ("rerank", "other"),
        ("no/such/path/resp_123", "other"),
    ],
)
def test_the_operation_is_part_of_the_kind(operation, family):
    assert measure(body_of("hello"), operation).kind == f"{family} text"


@given(st.binary(max_size=400), st.integers(1, 40), st.text(max_size=30))
def test_every_body_has_one_of_a_bounded_number_of_kinds(body, times, operation):
    for text in (body * times, b'{"input":"' + body * times + b'"}'):
        size = measure(text, operation)
        assert size.kind in KINDS
        assert 0 <= size.text_bytes <= len(text)
        assert Estimator().tokens(size) >= 1
    assert len(KINDS) == 108


# ---- images, audio and files


def test_an_image_counts_as_an_image_and_not_as_text():
    size = measure(body_of([{"type": "text", "text": "What is this?"}, shown(PNG)]), CHAT)
    assert size == Size("chat text media", size.text_bytes, 765)
    assert size.text_bytes < 300


def test_every_image_counts_and_so_does_the_text_between_them():
    say = {"type": "text", "text": "And what is this here? " * 200}
    size = measure(body_of([say, shown(PNG), shown(PNG[:2_000]), say, shown(PNG[:9_000])]), CHAT)
    assert size.extra_tokens == 3 * 765
    assert 9_200 < size.text_bytes < 9_700


def test_an_image_of_low_detail_counts_less():
    size = measure(body_of([shown(PNG, detail="low"), shown(PNG)]), CHAT)
    assert size.extra_tokens == 85 + 765


@pytest.mark.parametrize("times", [1, 300])
def test_an_image_by_its_url_counts_too(times):
    say = {"type": "text", "text": "What is this? " * times}
    url = "https://example.com/cat.png"
    size = measure(body_of([say, image(url), image(url)]), CHAT)
    assert size == Size("chat text media", size.text_bytes, 2 * 765)
    as_responses = {"input": [{"content": [{"type": "input_image", "image_url": url}]}]}
    size = measure(json.dumps(as_responses).encode(), "responses")
    assert size.extra_tokens == 765


def test_an_image_in_a_body_of_three_kilobytes_is_no_text():
    size = measure(body_of([shown(PNG[:2_000])]), CHAT)
    assert size == Size("chat text media", size.text_bytes, 765)
    assert size.text_bytes < 300


def test_a_tiny_image_counts_as_an_image():
    assert measure(body_of([shown(PNG[:100])]), CHAT).extra_tokens == 765


def test_anthropics_images_are_images_too():
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(PNG).decode()}
    size = measure(body_of([{"type": "image", "source": source}]), "messages")
    assert size == Size("messages text media", size.text_bytes, 765)


def test_an_image_whose_slashes_are_escaped_is_an_image_too():
    body = body_of([shown(PNG)]).replace(b"/", b"\\/")
    size = measure(body, CHAT)
    assert size.extra_tokens == 765
    assert size.text_bytes < 300


def test_audio_and_files_count_by_their_length():
    sound = {"data": b64encode(PNG * 4).decode(), "format": "wav"}
    size = measure(body_of([{"type": "input_audio", "input_audio": sound}]), CHAT)
    assert 40 < size.extra_tokens < 60
    paper = f"data:application/pdf;base64,{b64encode(PNG * 4).decode()}"
    size = measure(body_of([{"type": "file", "file": {"file_data": paper}}]), CHAT)
    assert 2_000 < size.extra_tokens < 3_000
    assert size.text_bytes < 300


def test_a_long_text_is_not_taken_for_base64():
    for content in ("word " * 20_000, "天空" * 20_000, "f(x)" * 20_000, '{"a":1},' * 10_000):
        body = body_of(content)
        assert measure(body, CHAT) == Size(measure(body, CHAT).kind, len(body), 0)


@pytest.mark.clock
@pytest.mark.parametrize(
    "content",
    ["x" * 40 + " ", "x" * 40 + '"', "x" * 2_000 + '" "', "word ", "\\", "天", '"_url"/'],
)
def test_no_body_takes_long(content):
    body = body_of(content * (8_000_000 // len(content)))
    began = perf_counter()
    measure(body, CHAT)
    assert perf_counter() - began < 1.0
