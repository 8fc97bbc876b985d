"""The operations other than chat and responses, through the real OpenAI client."""

import base64
import io
import math
import wave

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
async def test_moderations_flag_violence():
    async with serve() as vendor, openai_client(vendor) as client:
        judged = await client.moderations.create(input=["I will kill time", "hello"])
    assert [result.flagged for result in judged.results] == [True, False]
    assert judged.results[0].categories.violence


@bounded()
async def test_speech_is_a_valid_wav_file():
    async with serve() as vendor, openai_client(vendor) as client:
        spoken = await client.audio.speech.create(
            model="gpt-4o-mini-tts", voice="alloy", input="Hello", response_format="wav"
        )
    assert spoken.response.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(spoken.content)) as heard:
        assert (heard.getframerate(), heard.getnchannels()) == (24_000, 1)
        assert heard.getnframes() == 5 * 240


@bounded()
async def test_speech_is_streamed_as_events_on_demand():
    async with serve() as vendor, openai_client(vendor) as client:
        spoken = await client.audio.speech.create(
            model="m", voice="alloy", input="Hello" * 100, stream_format="sse"
        )
    assert spoken.response.headers["content-type"].startswith("text/event-stream")
    assert spoken.content.count(b"speech.audio.delta") > 2
    assert b"speech.audio.done" in spoken.content.splitlines()[-2]


@pytest.mark.parametrize("form", ["json", "verbose_json", "text", "srt", "vtt"])
@bounded()
async def test_a_transcript_names_the_file_its_size_and_the_model(form):
    async with serve() as vendor, openai_client(vendor) as client:
        heard = await client.audio.transcriptions.create(
            model="whisper-1", file=("a.wav", b"\r\n--\x00" * 1000), response_format=form
        )
    text = heard if isinstance(heard, str) else heard.text
    assert "A transcript of 5000 bytes of a.wav, as heard by whisper-1." in text


@bounded()
async def test_a_transcript_is_streamed_on_demand():
    async with serve() as vendor, openai_client(vendor) as client:
        stream = await client.audio.transcriptions.create(
            model="gpt-4o-transcribe", file=("a.wav", b"123"), stream=True
        )
        events = [event async for event in stream]
    assert "".join(event.delta for event in events[:-1]) == events[-1].text
    assert events[-1].type == "transcript.text.done"


@pytest.mark.filterwarnings("ignore:deprecated")
@bounded()
async def test_translations_answer_like_transcriptions():
    async with serve() as vendor, openai_client(vendor) as client:
        heard = await client.audio.translations.create(model="whisper-1", file=("a.mp3", b"12"))
    assert "2 bytes of a.mp3" in heard.text


@bounded()
async def test_images_are_pngs():
    async with serve() as vendor, openai_client(vendor) as client:
        made = await client.images.generate(model="gpt-image-1", prompt="a cat", n=2)
        edited = await client.images.edit(
            model="gpt-image-1", prompt="a cat", image=("i.png", b"png")
        )
    assert len(made.data) == 2
    assert base64.b64decode(made.data[0].b64_json).startswith(b"\x89PNG\r\n\x1a\n")
    assert edited.data[0].b64_json == made.data[0].b64_json


@bounded()
async def test_rerank_orders_by_shared_words():
    asked = {"model": "m", "query": "red fox", "documents": ["a blue sea", "a red fox", "red"]}
    async with serve() as vendor, openai_client(vendor) as client:
        ranked = await client.post("/rerank", cast_to=dict, body=asked)
    assert [result["index"] for result in ranked["results"]] == [1, 2, 0]


@bounded()
async def test_files_are_stored_listed_read_and_deleted():
    async with serve() as vendor, openai_client(vendor) as client:
        made = await client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
        assert (made.bytes, made.filename, made.purpose) == (2, "a.jsonl", "batch")
        assert [file.id async for file in client.files.list()] == [made.id]
        assert (await client.files.content(made.id)).content == b"{}"
        assert (await client.files.delete(made.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.files.retrieve(made.id)


@bounded()
async def test_answers_can_be_compressed():
    async with serve(VendorSettings(compress=True)) as vendor, openai_client(vendor) as client:
        asked = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
        raw = await client.chat.completions.with_raw_response.create(**asked)
        assert raw.headers["content-encoding"] == "gzip"
        stream = await client.chat.completions.create(**asked, stream=True)
        joined = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert joined == raw.parse().choices[0].message.content
