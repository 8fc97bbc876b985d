"""What answers of vendors cost: their usage objects, and nano-dollars computed by hand."""

from itertools import permutations

import msgspec
import pytest

from llmproxy.batteries.spend import pricing
from llmproxy.batteries.spend.charging import nano_usd
from llmproxy.batteries.usage_of_streams import usage_of_stream
from llmproxy.config import Price
from llmproxy.operations.usage import usage_of
from llmproxy.record import AnswerSummary, CallRecord, RequestSummary
from llmproxy.steps import Attempt, AttemptOutcome

GPT = Price(input=2.0, output=8.0, cached_input=0.5)
SOUND = Price(input=2.5, output=10.0, audio_input=40.0, audio_output=80.0)
SONNET = Price(input=3.0, output=15.0, cached_input=0.3, cache_write=3.75)
GEMINI = Price(input=0.3, output=2.5)
DEEPSEEK = Price(input=0.27, output=1.1, cached_input=0.07)
GROK = Price(input=1.25, output=2.5, cached_input=0.2)
LLAMA = Price(input=0.59, output=0.79)
SMALL = Price(input=0.02, output=0.0)
PICTURES = Price(input=5.0, output=40.0)

CHAT = {
    "prompt_tokens": 1_000,
    "completion_tokens": 200,
    "total_tokens": 1_200,
    "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 128, "audio_tokens": 0},
}
SPOKEN = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 80},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 40},
}
RESPONSES = {
    "input_tokens": 1_000,
    "input_tokens_details": {"cached_tokens": 600},
    "output_tokens": 200,
    "output_tokens_details": {"reasoning_tokens": 128},
    "total_tokens": 1_200,
}
IMAGES = {
    "total_tokens": 1_100,
    "input_tokens": 50,
    "output_tokens": 1_050,
    "input_tokens_details": {"text_tokens": 50, "image_tokens": 0},
}
TRANSCRIPT = {
    "type": "tokens",
    "input_tokens": 14,
    "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
    "output_tokens": 45,
    "total_tokens": 59,
}
HOUR = {
    "input_tokens": 100,
    "cache_read_input_tokens": 2_000,
    "cache_creation_input_tokens": 1_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400},
    "output_tokens": 50,
    "service_tier": "standard",
}
MINUTES = {
    **HOUR,
    "cache_creation": {"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": 0},
}
THINKING = {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}
ONLY_THINKING = {"prompt_tokens": 20, "total_tokens": 425}
HITS = {
    "prompt_tokens": 1_000,
    "completion_tokens": 100,
    "total_tokens": 1_100,
    "prompt_cache_hit_tokens": 700,
    "prompt_cache_miss_tokens": 300,
}
REASONED = {
    "prompt_tokens": 10_120,
    "completion_tokens": 1_499,
    "total_tokens": 14_428,
    "prompt_tokens_details": {"cached_tokens": 128},
    "completion_tokens_details": {"reasoning_tokens": 2_809},
}
ROUTED = {
    "prompt_tokens": 1_000,
    "completion_tokens": 200,
    "total_tokens": 1_200,
    "cost": 0.0036,
    "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
}
TIMED = {
    "queue_time": 0.04,
    "prompt_tokens": 1_000,
    "prompt_time": 0.002,
    "completion_tokens": 200,
    "completion_time": 0.5,
    "total_tokens": 1_200,
    "total_time": 0.502,
}

ANSWERS = [
    # 400 * 2.0 + 600 * 0.5 + 200 * 8.0 = 2700
    pytest.param(CHAT, GPT, 2_700_000, id="OpenAI's chat"),
    pytest.param(RESPONSES, GPT, 2_700_000, id="OpenAI's responses"),
    # 20 * 2.5 + 80 * 40 + 10 * 10 + 40 * 80 = 6550
    pytest.param(SPOKEN, SOUND, 6_550_000, id="sound in chat"),
    # 50 * 5 + 1050 * 40 = 42250
    pytest.param(IMAGES, PICTURES, 42_250_000, id="images"),
    # 14 * 2.5 + 45 * 10 = 485
    pytest.param(TRANSCRIPT, Price(input=2.5, output=10.0), 485_000, id="a transcript"),
    # 5 * 0.02 = 0.1
    pytest.param({"prompt_tokens": 5, "total_tokens": 5}, SMALL, 100, id="embeddings"),
    # 100 * 3 + 2000 * 0.3 + 600 * 3.75 + 400 * 6 + 50 * 15 = 6300
    pytest.param(HOUR, SONNET, 6_300_000, id="Anthropic's cache for an hour"),
    # 100 * 3 + 2000 * 0.3 + 1000 * 3.75 + 50 * 15 = 5400
    pytest.param(MINUTES, SONNET, 5_400_000, id="Anthropic's cache for five minutes"),
    # 20 * 0.3 + 603 * 2.5 = 1513.5
    pytest.param(THINKING, GEMINI, 1_513_500, id="Gemini's thinking"),
    # 20 * 0.3 + 405 * 2.5 = 1018.5
    pytest.param(ONLY_THINKING, GEMINI, 1_018_500, id="Gemini, all of it thinking"),
    # 300 * 0.27 + 700 * 0.07 + 100 * 1.1 = 240
    pytest.param(HITS, DEEPSEEK, 240_000, id="DeepSeek"),
    # 9992 * 1.25 + 128 * 0.2 + 4308 * 2.5 = 23285.6
    pytest.param(REASONED, GROK, 23_285_600, id="xAI"),
    # 1000 * 2 + 200 * 8 = 3600, which is the cost that it reports
    pytest.param(ROUTED, GPT, 3_600_000, id="OpenRouter"),
    # 1000 * 0.59 + 200 * 0.79 = 748
    pytest.param(TIMED, LLAMA, 748_000, id="Groq"),
]


@pytest.mark.parametrize(("usage", "price", "nano"), ANSWERS)
def test_an_answer_costs_what_its_vendor_charges(usage, price, nano):
    counted = usage_of(msgspec.json.encode({"id": "a", "usage": usage}))
    assert counted is not None
    assert nano_usd(price, counted) == nano


@pytest.mark.parametrize(("usage", "price", "nano"), ANSWERS[:1] + ANSWERS[8:9] + ANSWERS[11:12])
def test_a_stream_costs_as_much_as_the_same_answer_in_one_piece(usage, price, nano):
    chunk = msgspec.json.encode({"choices": [], "usage": usage})
    counted = usage_of_stream(b"data: " + chunk + b"\n\ndata: [DONE]\n\n")
    assert counted is not None
    assert nano_usd(price, counted) == nano


def test_a_call_costs_the_sum_of_what_its_attempts_cost():
    prices = {("g", "a"): GPT, ("g", "b"): SONNET, ("g", "c"): LLAMA}
    usage = usage_of(msgspec.json.encode({"usage": CHAT}))
    request = RequestSummary("POST /v1/chat/completions", operation="chat/completions")
    price_call = pricing(prices)
    for answered, outrun, failed in permutations("abc"):
        steps = [
            Attempt(failed, 0.0, 1.0, AttemptOutcome.FAILED, reason="server_error"),
            Attempt(outrun, 0.0, 1.0, AttemptOutcome.ABANDONED, reason="outrun"),
            Attempt(answered, 0.0, 1.0, AttemptOutcome.ANSWERED),
        ]

        def cost(*some):
            answer = AnswerSummary(200, usage=usage)
            record = CallRecord(request, answer, group="g", attempts=len(some), steps=[*some])
            return price_call(record).nano_usd

        assert cost(*steps) == sum(map(cost, steps)) > 0
