"""A form is read until its model is known, and can be sent again under any name."""

import asyncio

import pytest

from llmproxy.batteries.uploads import read_form
from llmproxy.errors import ClientError
from tests.support.forms import FORM, FORM_MODEL, FORM_START

((_, TYPE),) = FORM
MODEL_FIRST = FORM_MODEL.removeprefix(b"\r\n").replace(b"--XX--\r\n", b"")
SOUND = FORM_START + b"sound" * 100_000 + b"\r\n--XX--\r\n"


class Arriving:
    """A BodyReader that gives one piece at a time, and counts them."""

    def __init__(self, *pieces):
        self.left = list(pieces)

    async def read(self):
        return self.left.pop(0) if self.left else b""


def read(reader, **bounds):
    return read_form(reader, TYPE.encode(), **{"length": None, "max_bytes": None} | bounds)


async def whole(upload):
    return b"".join([piece async for piece in upload.chunks()])


def test_no_more_is_read_than_the_model_needs():
    async def run():
        reader = Arriving(MODEL_FIRST + b"--XX\r\n", b"the rest", b"of it")
        form = await read(reader)
        assert (form.model, form.stream) == ("whisper-1", False)
        assert len(reader.left) == 2
        form.close()

    asyncio.run(run())


def test_it_can_be_sent_twice_and_is_the_same():
    async def run():
        pieces = [SOUND[at : at + 7_777] for at in range(0, len(SOUND), 7_777)]
        form = await read(Arriving(MODEL_FIRST, *pieces))
        assert await whole(form) == MODEL_FIRST + SOUND
        assert await whole(form) == MODEL_FIRST + SOUND
        form.close()

    asyncio.run(run())


@pytest.mark.parametrize("announced", [True, False])
def test_another_name_changes_the_name_and_the_length_only(announced):
    async def run():
        body = MODEL_FIRST + SOUND
        form = await read(Arriving(body), length=len(body) if announced else None)
        renamed = form.renamed("w")
        expected = body.replace(b"whisper-1", b"w")
        assert await whole(renamed) == expected
        assert renamed.length == (len(expected) if announced else None)
        assert await whole(renamed.renamed("other")) == body.replace(b"whisper-1", b"other")
        form.close()

    asyncio.run(run())


def test_a_form_without_a_model_gets_one():
    async def run():
        form = await read(Arriving(SOUND))
        assert form.model is None
        sent = await whole(form.renamed("whisper-1"))
        assert sent.endswith(SOUND)
        assert sent.count(b'name="model"\r\n\r\nwhisper-1\r\n') == 1
        form.close()

    asyncio.run(run())


@pytest.mark.parametrize("length", [None, 5_000_000])
def test_a_form_above_the_bound_is_refused(length):
    async def run():
        with pytest.raises(ClientError) as refused:
            await read(Arriving(SOUND), length=length, max_bytes=1_000)
        assert (refused.value.status, refused.value.code) == (413, "request_too_large")

    asyncio.run(run())
