"""The operations other than chat and responses, through the real OpenAI client."""

import base64
import math

import openai
import pytest

from llmproxy.tools.simulator import VendorSettings, serve
from tests.support.run import bounded
from tests.tools.simulator.wires import openai_client

# The input forms that the API takes, and how many vectors each makes.
INPUTS = [("text", 1), (["one", "two"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2)]


@pytest.mark.parametrize(("given", "number"), INPUTS)
@bounded()
async def test_embeddings_take_every_form_of_input(given, number):
    async with serve() as vendor, openai_client(vendor) as client:
        made = await client.embeddings.create(model="text-embedding-3-small", input=given)
    assert [item.index for item in made.data] == list(range(number))
    assert all(len(item.embedding) == 1536 for item in made.data)
    assert made.usage.prompt_tokens > 0


@bounded()
async def test_an_embedding_is_the_same_unit_vector_as_numbers_and_as_base64():
    async with serve() as vendor, openai_client(vendor) as client:
        numbers, packed = [
            await client.embeddings.create(model="m", input="x", encoding_format=form)
            for form in ("float", "base64")
        ]
        usual = await client.embeddings.create(model="m", input="x")
        other = await client.embeddings.create(model="m", input="y")
    vector = numbers.data[0].embedding
    assert len(base64.b64decode(packed.data[0].embedding)) == 1536 * 4
    assert vector == usual.data[0].embedding != other.data[0].embedding
    assert math.isclose(sum(number**2 for number in vector), 1, rel_tol=1e-4)


@bounded()
async def test_embeddings_have_the_requested_dimensions():
    async with serve() as vendor, openai_client(vendor) as client:
        made = await client.embeddings.create(model="m", input="x", dimensions=7)
        assert len(made.data[0].embedding) == 7
        with pytest.raises(openai.BadRequestError, match="dimensions"):
            await client.embeddings.create(model="m", input="x", dimensions=100_000)


@bounded()
async def test_models_are_listed_and_retrieved():
    async with serve(VendorSettings(models=("one", "two/three"))) as vendor:
        async with openai_client(vendor) as client:
            assert [model.id async for model in client.models.list()] == ["one", "two/three"]
            assert (await client.models.retrieve("two/three")).owned_by == "simulator"
            with pytest.raises(openai.NotFoundError) as caught:
                await client.models.retrieve("four")
    assert caught.value.code == "model_not_found"


@bounded()
async def test_answers_can_be_compressed():
    async with serve(VendorSettings(compress=True)) as vendor, openai_client(vendor) as client:
        asked = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
        raw = await client.chat.completions.with_raw_response.create(**asked)
        assert raw.headers["content-encoding"] == "gzip"
        stream = await client.chat.completions.create(**asked, stream=True)
        joined = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert joined == raw.parse().choices[0].message.content
