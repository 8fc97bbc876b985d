"""A priced endpoint whose answers report usage, and a config with budgets for it."""

from tests.support.proxy import config_for

PRICE = {"input": 1.0, "output": 10.0}  # dollars per million tokens


def answer_with(input_tokens, output_tokens):
    """A chat completion that reports this usage."""
    usage = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens}
    message = {"role": "assistant", "content": "hi"}
    return {
        "id": "c",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {**usage, "total_tokens": input_tokens + output_tokens},
    }


def budgeted(vendor, *budgets, price=PRICE, **settings):
    """A config with one priced endpoint and these budgets."""
    endpoint = {"params": {"base_url": vendor.base_url, "api_key": "sk-up"}, "price": price}
    settings.setdefault("database_url", "off")
    return config_for(endpoint, budgets=list(budgets), **settings)
