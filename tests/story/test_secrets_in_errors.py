"""Secrets of the operator are masked in the errors of an endpoint; short header values are not."""

import json

from tests.support.client import CHAT, ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, http, scripted


@bounded()
async def test_a_header_of_12_bytes_is_masked_and_one_of_11_is_not():
    words = "Rejected: abcdefghijkl, ABCDEFGHIJK and sk-upstream-key."
    body = json.dumps({"error": {"message": words, "code": "invalid_value"}}).encode()
    async with scripted(always(http(body, status=400))) as vendor:
        endpoint = {
            "params": {
                "base_url": vendor.base_url,
                "api_key": "sk-upstream-key",
                "default_headers": {"x-twelve": "abcdefghijkl", "x-eleven": "ABCDEFGHIJK"},
            }
        }
        async with serve_proxy(config_for(endpoint)) as proxy:
            reply = await ask(proxy.port, body=CHAT)
    assert reply.status == 400
    assert reply.error["message"] == "Rejected: ***, ABCDEFGHIJK and ***."
