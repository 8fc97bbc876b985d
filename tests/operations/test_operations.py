"""What each operation of the API is, as literal values: a second opinion on the table.

The values are read through the functions that use them, so the test does not depend on how the
table is written.
"""

import json
import re
from typing import NamedTuple

import pytest

from llmproxy.app.local import local_answer
from llmproxy.batteries.cache.keys import cache_key_of
from llmproxy.batteries.telemetry.tracing.names import operation_name
from llmproxy.batteries.token_estimates.size import measure
from llmproxy.calls import Request
from llmproxy.errors import ClientError
from llmproxy.routing import Pool
from llmproxy.rules.paths import route_of

# Dialect; replay of a POST; methods whose ids live in one account ("*": all of them); whether only
# POST is allowed; when an answer may be cached; the family of its size estimate; its span's name.
TABLE = """
chat/completions        chat       safe    GET     any   deterministic  chat         chat
chat/completions/c_1    opaque     unsafe  *       any   never          other        chat
chat/whatever           opaque     unsafe  -       any   never          other        chat
completions             chat       safe    -       POST  deterministic  completions  text_completion
completions/c_1         opaque     unsafe  -       POST  never          other        completions
fim/completions         chat       safe    -       any   never          completions  text_completion
fim                     opaque     unsafe  -       any   never          other        fim
responses               responses  safe    -       any   deterministic  responses    chat
responses/compact       responses  safe    -       any   never          other        responses
responses/input_tokens  responses  safe    -       any   never          other        responses
responses/resp_1        responses  unsafe  *       any   never          other        responses
responses/resp_1/cancel responses  unsafe  *       any   never          other        responses
messages                messages   safe    -       POST  deterministic  messages     chat
messages/count_tokens   messages   safe    -       POST  never          other        messages
messages/batches        messages   unsafe  *       any   never          other        messages
messages/batches/b_1    messages   unsafe  *       any   never          other        messages
messages/whatever       messages   unsafe  -       any   never          other        messages
embeddings              opaque     safe    -       POST  always         embeddings   embeddings
embeddings/e_1          opaque     unsafe  -       POST  never          other        embeddings
embed                   opaque     safe    -       any   never          embeddings   embeddings
moderations             opaque     safe    -       POST  always         other        moderations
moderations/m_1         opaque     unsafe  -       POST  never          other        moderations
rerank                  opaque     safe    -       POST  always         other        rerank
rerank/r_1              opaque     unsafe  -       POST  never          other        rerank
classify                opaque     safe    -       any   never          other        classify
detokenize              opaque     safe    -       any   never          other        detokenize
infill                  opaque     safe    -       any   never          other        infill
ocr                     opaque     safe    -       any   never          other        ocr
score                   opaque     safe    -       any   never          other        score
tokenize                opaque     safe    -       any   never          other        tokenize
audio/speech            opaque     costly  -       POST  never          other        audio
audio/transcriptions    opaque     costly  -       POST  never          other        audio
images/generations      opaque     costly  -       POST  never          other        images
images/edits            opaque     costly  -       POST  never          other        images
videos                  opaque     unsafe  GET     any   never          other        videos
videos/video_1          opaque     unsafe  *       any   never          other        videos
videos/video_1/remix    opaque     unsafe  *       any   never          other        videos
models                  opaque     unsafe  DELETE  any   never          other        models
models/gpt-4.1          opaque     unsafe  DELETE  any   never          other        models
assistants              opaque     unsafe  *       any   never          other        assistants
assistants/asst_1       opaque     unsafe  *       any   never          other        assistants
batches                 opaque     unsafe  *       any   never          other        batches
batches/b_1/cancel      opaque     unsafe  *       any   never          other        batches
containers              opaque     unsafe  *       any   never          other        containers
containers/c_1/files    opaque     unsafe  *       any   never          other        containers
conversations           opaque     unsafe  *       any   never          other        conversations
conversations/c_1       opaque     unsafe  *       any   never          other        conversations
evals                   opaque     unsafe  *       any   never          other        evals
evals/e_1/runs          opaque     unsafe  *       any   never          other        evals
files                   opaque     unsafe  *       any   never          other        files
files/f_1/content       opaque     unsafe  *       any   never          other        files
fine-tuning             opaque     unsafe  *       any   never          other        fine-tuning
fine_tuning/jobs        opaque     unsafe  *       any   never          other        fine_tuning
threads                 opaque     unsafe  *       any   never          other        threads
threads/t_1/runs        opaque     unsafe  *       any   never          other        threads
uploads                 opaque     unsafe  *       any   never          other        uploads
uploads/u_1/parts       opaque     unsafe  *       any   never          other        uploads
vector_stores           opaque     unsafe  *       any   never          other        vector_stores
vector_stores/v_1       opaque     unsafe  *       any   never          other        vector_stores
realtime                opaque     unsafe  -       any   never          other        realtime
realtime/sessions       opaque     unsafe  *       any   never          other        realtime
realtime/calls/r_1      opaque     unsafe  *       any   never          other        realtime
audio/voices/v_1        opaque     unsafe  *       any   never          other        audio
fine_tuning/alpha/graders/run opaque unsafe - POST never other fine_tuning
whatever                opaque     unsafe  -       any   never          other        whatever
whatever/comes/next     opaque     unsafe  -       any   never          other        whatever
"""
METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")


class Row(NamedTuple):
    path: str
    dialect: str
    replay: str
    bound: str
    methods: str
    cached: str
    family: str
    span: str


ROWS = [Row(*re.split(r"\s+", line)) for line in TABLE.strip().splitlines()]
each_operation = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.path)


def route(row: Row, method="POST"):
    return route_of(f"/v1/{row.path}".encode(), method)


@each_operation
def test_an_operation_has_a_dialect(row):
    assert route(row).dialect.name == row.dialect


@each_operation
def test_a_post_may_be_sent_twice_or_not(row):
    assert route(row).replay.value == row.replay


@each_operation
def test_reading_may_always_be_sent_twice_and_deleting_never(row):
    replays = [route(row, method).replay.value for method in ("GET", "HEAD", "OPTIONS", "DELETE")]
    assert replays == ["safe", "safe", "safe", "unsafe"]


@each_operation
def test_ids_live_in_one_account(row):
    bound = METHODS if row.bound == "*" else tuple(row.bound.split(","))
    for method in METHODS:
        assert route(row, method).bound_to_account is (method in bound), method


@each_operation
def test_an_operation_has_methods(row):
    refused = []
    for method in (*METHODS, "PUT", "PATCH"):
        request = Request(
            method, f"/v1/{row.path}".encode(), b"", [], b"", "", 0.0, from_browser=False
        )
        try:
            local_answer(request, route(row, method), Pool({"*": object()}), started_at=0)
        except ClientError as error:
            assert error.status == 405
            refused.append(method)
    expected = ["GET", "HEAD", "DELETE"] if row.methods == "POST" else []
    assert refused == [*expected, "PUT", "PATCH"]


@each_operation
def test_an_answer_may_be_cached(row):
    def cached(**body):
        return cache_key_of(
            json.dumps(body).encode(),
            operation=row.path,
            model="m",
            query=b"",
            scope=(),
            random=False,
        )

    expected = {"never": (False, False), "deterministic": (False, True), "always": (True, True)}
    found = (cached() is not None, cached(temperature=0) is not None)
    assert found == expected[row.cached]


@each_operation
def test_a_size_is_estimated_by_family(row):
    assert measure(b'{"model":"m"}', row.path).kind == f"{row.family} text"


@each_operation
def test_a_span_is_named_after_the_operation(row):
    assert operation_name(row.path) == row.span


@pytest.mark.parametrize("path", sorted({row.path for row in ROWS if "whatever" not in row.path}))
def test_an_operation_is_found_without_v1(path):
    assert route_of(f"/{path}".encode(), "POST") == route_of(f"/v1/{path}".encode(), "POST")


@pytest.mark.parametrize(
    "path", ["whatever", "whatever/comes/next", "chats", "v2/chat/completions"]
)
def test_an_unknown_path_is_ours_below_v1_only(path):
    assert route_of(f"/{path}".encode(), "POST") is None


@pytest.mark.parametrize("path", ["models", "models/gpt-4.1"])
@pytest.mark.parametrize(("method", "answered"), [("GET", True), ("HEAD", True), ("DELETE", False)])
def test_the_models_are_listed_by_the_proxy_itself(path, method, answered):
    request = Request(method, f"/v1/{path}".encode(), b"", [], b"", "", 0.0, from_browser=False)
    local = local_answer(
        request,
        route_of(request.path, method),
        Pool({"gpt-4.1": object()}),
        started_at=0,
    )
    assert (local is not None) is answered
