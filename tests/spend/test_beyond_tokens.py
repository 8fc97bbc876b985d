"""What answers cost beyond tokens in and out: tiers, long prompts, images, searches, own bills.

Expected values are computed by hand from the vendors' price pages (November 2026), in nano-dollars.
"""

import msgspec
import pytest

from llmproxy.batteries.answer_checks import read_answer
from llmproxy.batteries.price_list import list_price
from llmproxy.batteries.spend import pricing
from llmproxy.batteries.usage_of_streams import usage_of_stream
from llmproxy.config import Price
from llmproxy.operations.usage import usage_of
from llmproxy.record import AnswerSummary, Basis, CallRecord, Cost, RequestSummary
from llmproxy.steps import Attempt, AttemptOutcome

EXACT, ESTIMATED, UNKNOWN = Basis.EXACT, Basis.ESTIMATED, Basis.UNKNOWN
OWN = Price(
    input=1.25,
    output=10.0,
    per_request=0.005,
    tiers={"priority": {"input": 2.5, "output": 20.0}},
    above={200_000: {"input": 2.5, "output": 15.0}},
)


def used(input_tokens=1_000, output_tokens=200, **more):
    counts = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens, **more}
    return {"usage": counts}


def messages(input_tokens, **more):
    return {"usage": {"input_tokens": input_tokens, "output_tokens": 1_000, **more}}


SEARCHED = {"server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 0}}
SEEN = {
    "usage": {
        "input_tokens": 350,
        "input_tokens_details": {"text_tokens": 50, "image_tokens": 300},
        "output_tokens": 1_056,
    }
}
BYOK = {"cost": 0.0005, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.01}}

ANSWERS = [
    # 1000 * 1.25 + 200 * 10 = 3250 millionths of a dollar
    ("openai", "gpt-5", used(), 3_250_000, EXACT),
    ("openai", "gpt-5", {**used(), "service_tier": "default"}, 3_250_000, EXACT),
    ("openai", "gpt-5", {**used(), "service_tier": None}, 3_250_000, EXACT),
    ("openai", "gpt-5", {**used(), "service_tier": 7}, 3_250_000, ESTIMATED),
    # Flex is half of it, priority twice
    ("openai", "gpt-5", {**used(), "service_tier": "flex"}, 1_625_000, EXACT),
    ("openai", "gpt-5", {**used(), "service_tier": "priority"}, 6_500_000, EXACT),
    # of gpt-4.1, priority is 1000 * 3.5 + 200 * 14 = 6300; it has no flex
    ("openai", "gpt-4.1", {**used(), "service_tier": "priority"}, 6_300_000, EXACT),
    ("openai", "gpt-4.1", {**used(), "service_tier": "flex"}, 1_800_000, ESTIMATED),
    ("openai", "gpt-4.1", {**used(), "service_tier": "scale"}, 3_600_000, ESTIMATED),
    ("groq", "llama-3.3-70b-versatile", {**used(), "service_tier": "on_demand"}, 748_000, EXACT),
    # 200000 * 3 + 1000 * 15 = 615000; one more token: 200001 * 6 + 1000 * 22.5 = 1222506
    ("anthropic", "claude-sonnet-4-5", messages(200_000), 615_000_000, EXACT),
    ("anthropic", "claude-sonnet-4-5", messages(200_001), 1_222_506_000, EXACT),
    # Cached tokens count for the length, too: 1000 * 6 + 250000 * 0.6 + 1000 * 22.5 = 178500
    (
        *("anthropic", "claude-sonnet-4-5", messages(1_000, cache_read_input_tokens=250_000)),
        *(178_500_000, EXACT),
    ),
    # 250000 * 2.5 + 200 * 15 = 628000
    ("gemini", "gemini-2.5-pro", used(250_000), 628_000_000, EXACT),
    # 300000 * 5 + 200 * 22.5 = 1504500
    ("openai", "gpt-5.4", used(300_000), 1_504_500_000, EXACT),
    # 1000 * 3 + 1000 * 15 = 18000, and three searches at one cent
    ("anthropic", "claude-sonnet-4-5", messages(1_000, **SEARCHED), 48_000_000, EXACT),
    # In a batch half: 9000
    ("anthropic", "claude-sonnet-4-5", messages(1_000, service_tier="batch"), 9_000_000, EXACT),
    # 50 * 5 + 300 * 10 + 1056 * 40 = 45490
    ("openai", "gpt-image-1", SEEN, 45_490_000, EXACT),
    # OpenRouter's own bill wins, also where we have no price; with a key of one's own both parts
    ("openrouter", "gpt-99", used(cost=0.0036), 3_600_000, EXACT),
    ("openrouter", "gpt-99", used(cost=0), 0, EXACT),
    ("openrouter", "gpt-99", used(**BYOK), 10_500_000, EXACT),
    ("openai", "gpt-5", used(cost=0.5), 500_000_000, EXACT),
    ("openai", "gpt-5", used(cost=0), 3_250_000, EXACT),  # a gateway that counts nothing
    ("openai", "gpt-5", used(cost={"total_cost": 0.5}), 3_250_000, EXACT),  # Perplexity's form
    ("openai", "gpt-5", used(cost="much"), 3_250_000, EXACT),
    ("openai", "gpt-5", used(cost=-1), 3_250_000, EXACT),
    # One's own price: each request is half a cent; a prompt that is both long and in a tier
    (None, OWN, used(), 8_250_000, EXACT),
    (None, OWN, {**used(), "service_tier": "priority"}, 6_500_000, EXACT),
    (None, OWN, {**used(300_000), "service_tier": "priority"}, 754_000_000, ESTIMATED),
    # 1000 * 1.25 + 200 * 10 = 3250, half a cent, and a search at the usual price
    (None, OWN, used(**{"server_tool_use": {"web_search_requests": 1}}), 18_250_000, ESTIMATED),
]


def cost(price, usage, operation="chat/completions"):
    request = RequestSummary(f"POST /v1/{operation}", operation=operation)
    steps = [Attempt("a", 0.0, 1.0, AttemptOutcome.ANSWERED)]
    answer = AnswerSummary(200, usage=usage)
    record = CallRecord(request, answer, group="g", attempts=1, steps=steps)
    return pricing({} if isinstance(price, str) else {("g", "a"): price})(record)


@pytest.mark.parametrize(("provider", "model", "answer", "nano", "basis"), ANSWERS)
def test_an_answer_costs_what_its_vendors_pages_say(provider, model, answer, nano, basis):
    price = model if provider is None else list_price(provider, model)
    body = msgspec.json.encode({"choices": [{"message": {"content": "x"}}], **answer})
    for usage in (usage_of(body), read_answer(body, "choices")[1], read_answer(body, None)[1]):
        assert cost(price, usage) == Cost(nano, basis)


@pytest.mark.parametrize("tier", ["flex", "priority"])
@pytest.mark.parametrize("last", [False, True])
def test_the_tier_of_a_stream_stands_beside_its_usage(tier, last):
    chunk = {"service_tier": tier, "choices": [], **used()}
    if last:
        chunk = {"choices": [], **used(), "service_tier": tier}
    told = b'data: {"choices":[{"delta":{"content":"a \\"service_tier\\":\\"gold\\""}}]}\n\n'
    stream = told + b"data: " + msgspec.json.encode(chunk) + b"\n\ndata: [DONE]\n\n"
    usage = usage_of_stream(stream)
    assert usage.service_tier == tier
    assert cost(list_price("openai", "gpt-5"), usage).basis is EXACT


@pytest.mark.parametrize("operation", ["batches", "messages/batches"])
def test_what_a_batch_will_cost_is_not_known(operation):
    assert cost(OWN, None, operation).basis is UNKNOWN


DRAWN = {"created": 1, "data": [{"b64_json": "QUJD"}, {"url": "https://x/2.png"}]}
# as the API reference of /v1/audio/transcriptions shows it for whisper-1
HEARD = {"text": "hello", "usage": {"type": "duration", "seconds": 90}}
COUNTED = {"usage": {"input_tokens": 50, "output_tokens": 1_000}}


@pytest.mark.parametrize(
    ("answer", "price", "nano", "basis"),
    [
        (DRAWN, {"per_image": 0.07}, 140_000_000, EXACT),  # two at 7 cents
        (DRAWN, {"per_image": 0}, 0, EXACT),
        (DRAWN, {"per_minute": 0.006}, 0, UNKNOWN),
        (HEARD, {"per_minute": 0.006}, 9_000_000, EXACT),  # a minute and a half at 0.6 cents
        (HEARD, {"per_image": 0.07}, 0, UNKNOWN),
        # What counts tokens costs its tokens: 50 * 5 + 1000 * 40 millionths
        ({**DRAWN, **COUNTED}, {"per_image": 0.07}, 40_250_000, EXACT),
    ],
)
def test_images_and_minutes_have_prices_where_no_tokens_are_counted(answer, price, nano, basis):
    _, usage = read_answer(msgspec.json.encode(answer), None)
    tokens = {"input": 5, "output": 40}
    assert cost(Price(**tokens, **price), usage, "images/generations") == Cost(nano, basis)


@pytest.mark.parametrize(
    "answer",
    [
        {"data": [{"embedding": [0.5], "index": 0}]},
        {"data": [{"url": 7}]},
        {"data": [{"b64_json": None, "url": ""}]},
        {"data": {"url": "https://x/1.png"}},
        {"usage": {"type": "duration", "seconds": -1}},
        {"usage": {"type": "duration", "seconds": "90"}},
        {"usage": {"type": "duration", "seconds": 1e30}},
    ],
)
def test_what_is_no_image_and_no_time_is_not_counted(answer):
    assert read_answer(msgspec.json.encode(answer), None)[1] is None
