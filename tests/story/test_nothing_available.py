"""A group whose endpoints are all out, for different reasons, over real connections."""

from tests.support.client import CHAT, ask
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import always, chat, error_body, http, scripted

THROTTLED = always(
    http(error_body("rate_limit_exceeded"), status=429, headers=[("retry-after", "20")])
)


def well_after(failures):
    def answer(received, number):
        if number <= failures:
            return [http(error_body("server_error"), status=500)]
        return [http(chat("it is well again"))]

    return answer


@bounded()
async def test_a_500_beside_a_429_does_not_refuse_the_next_call():
    for allowed_fails in (1, 3):
        async with scripted(well_after(1)) as one, scripted(THROTTLED) as other:
            config = group_of(one, other, allowed_fails=allowed_fails, num_retries=1)
            async with serve_proxy(config) as proxy:
                first = await ask(proxy.port, body=CHAT)
                replies = [await ask(proxy.port, body=CHAT) for _ in range(3)]

                assert first.status in (200, 429, 503)
                assert [reply.status for reply in replies] == [200, 200, 200]
                assert {reply.header("x-llmproxy-endpoint") for reply in replies} == {"e0"}
                assert len(other.received) == 1, "the stated time is kept"


@bounded()
async def test_one_500_does_not_take_an_endpoint_out():
    async with scripted(well_after(1)) as one, scripted(well_after(0)) as other:
        async with serve_proxy(group_of(one, other)) as proxy:
            served_by = [
                (await ask(proxy.port, body=CHAT)).header("x-llmproxy-endpoint") for _ in range(6)
            ]
    assert served_by.count("e0") >= 2
