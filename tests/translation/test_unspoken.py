"""Which errors say that a server does not know a path."""

import pytest

from llmproxy.batteries.translation.unspoken import says_no_such_path
from llmproxy.errors import Answer


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (405, b'{"detail":"Method Not Allowed"}'),
        (501, b""),
        (404, b""),
        (404, b"404 page not found"),
        (404, b"<html><body>Not Found</body></html>"),
        (404, b'{"detail":"Not Found"}'),
        (404, b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}'),
        (404, b'{"error":{"message":"Invalid URL (POST /v1/messages)","code":null}}'),
        (404, b'{"error":"Unexpected endpoint or method. (POST /v1/messages)"}'),
        (404, b'{"message":"Cannot POST /v1/responses"}'),
        (404, b"{}"),
    ],
)
def test_there_is_no_such_path(status, body):
    assert says_no_such_path(Answer(status, [], body))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b'{"error":{"message":"Invalid URL"}}'),
        (401, b'{"detail":"Not Found"}'),
        (404, b'{"error":{"message":"The model `m` does not exist.","code":"model_not_found"}}'),
        (404, b'{"error":{"message":"model: claude-9","type":"not_found_error"}}'),
        (404, b"the model 'm' was not found"),
        (404, b'{"error":{"message":"model \'m\' not found"}}'),
        (404, b'{"error":{"message":"Item with id \'rs_1\' not found."}}'),
        (404, b'{"error":{"message":"No response found with id resp_1 for this account"}}'),
    ],
)
def test_something_else_is_not_there(status, body):
    assert not says_no_such_path(Answer(status, [], body))
