"""Which ids a path, a body and an answer name."""

import json
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.owners.ids import (
    files_named_in,
    ids_in_answer,
    ids_named_in,
    items_named_in,
    items_referred_to_in,
    model_hint,
    newest_items_in,
    newest_reasoning_in,
    place_of,
    reasoning_in,
    searchable,
    state_named_in,
    top_of,
)


@pytest.mark.parametrize(
    ("path", "collection", "ids"),
    [
        ("files", "files", ()),
        ("files/file-1", "files", ("file-1",)),
        ("files/file-1/content", "files", ("file-1",)),
        ("responses/resp_1/input_items", "responses", ("resp_1",)),
        ("chat/completions/chatcmpl-1/messages", "chat/completions", ("chatcmpl-1",)),
        ("vector_stores/vs_1/files/file-1", "vector_stores", ("vs_1", "file-1")),
        ("containers/cntr_1/files/cfile_1/content", "containers", ("cntr_1", "cfile_1")),
        ("fine_tuning/jobs", "fine_tuning/jobs", ()),
        ("fine_tuning/jobs/ftjob-1/events", "fine_tuning/jobs", ("ftjob-1",)),
        ("messages/batches/msgbatch_1/results", "messages/batches", ("msgbatch_1",)),
        ("threads/runs", "threads/runs", ()),
        ("threads/thread_1/runs/run_1", "threads", ("thread_1", "run_1")),
        ("realtime/calls/rtc_1/hangup", "realtime/calls", ("rtc_1",)),
        ("uploads/upload_1/parts", "uploads", ("upload_1",)),
        ("files/file%3A1", "files", ("file:1",)),
    ],
)
def test_a_path_leads_to_a_list_or_to_what_it_names(path, collection, ids):
    place = place_of(path)
    assert (place.collection, place.ids) == (collection, ids)
    assert place.id == (ids[0] if ids else None)


@pytest.mark.parametrize("path", ["embeddings", "whatever/x", "messages/other"])
def test_a_path_where_nothing_is_kept_leads_nowhere(path):
    assert place_of(path) is None


ids = st.from_regex(r"[a-z]{2,8}[-_][A-Za-z0-9]{6,24}", fullmatch=True)
single = st.sampled_from(
    [
        "file_id",
        "input_file_id",
        "previous_response_id",
        "container",
        "conversation",
        "eval_id",
        "training_file",
        "output_file_id",
        "container_id",
    ]
)
several = st.sampled_from(["file_ids", "vector_store_ids", "result_files"])
texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(['"file_id": "file-abcdef1"', '{\\"file_ids\\": [\\"file-abcdef1\\"]}']),
)


@given(st.data(), st.booleans())
def test_ids_are_found_under_their_keys_at_any_depth_and_nowhere_else(data, compact):
    named = {}
    body = data.draw(st.dictionaries(st.just("text"), texts))
    here = body
    for _ in range(data.draw(st.integers(0, 3))):
        id_ = data.draw(ids)
        if data.draw(st.booleans()):
            here[data.draw(single)] = id_
        else:
            here[data.draw(several)] = [id_]
        inner = {}
        here[f"nested{len(named)}"] = [inner, data.draw(texts)]
        here, named[id_] = inner, None
    separators = (",", ":") if compact else (", ", ": ")
    written = json.dumps(body, separators=separators).encode()
    kept = {id_ for id_ in named if f'"{id_}"'.encode() in written}
    assert set(ids_named_in(written)) == kept


def test_what_has_no_owner_is_not_taken_for_an_id():
    body = {
        "tool_call_id": "call_1234567",
        "tool_use_id": "toolu_1234567",
        "call_id": "call_1234567",
        "user_id": "user-1234567",
        "type": "input_file",
        "file": {"file_data": "data:..."},
        "container": {"type": "auto", "file_ids": []},
    }
    assert ids_named_in(json.dumps(body).encode()) == []


def test_a_conversation_is_named_by_text_or_by_an_object():
    for value in ("conv_123456", {"id": "conv_123456"}):
        assert ids_named_in(json.dumps({"conversation": value}).encode()) == ["conv_123456"]


def test_items_and_files_of_a_call_are_named_apart():
    body = b'{"input": [{"id": "rs_12345"}, {"type": "input_file", "file_id": "file-12345"}]}'
    assert items_named_in(body) == ["rs_12345"]
    assert files_named_in(body) == ["file-12345"]


def test_an_answer_tells_of_what_it_created_and_what_belongs_to_it():
    answer = {
        "id": "batch_12345",
        "input_file_id": "file-in123",
        "output_file_id": None,
        "result_files": ["file-r1234"],
        "fine_tuned_model": "ft:gpt-4.1:org::abc123",
        "output": [{"id": "rs_12345", "call_id": "call_12345"}],
    }
    assert set(ids_in_answer(json.dumps(answer).encode())) == {
        *("batch_12345", "file-in123", "file-r1234", "ft:gpt-4.1:org::abc123", "rs_12345"),
    }


def test_reasoning_is_known_by_a_hash_and_never_kept():
    secret = "gAAAA" + "x" * 100
    for body in (
        {"type": "reasoning", "encrypted_content": secret},
        {"type": "thinking", "thinking": "...", "signature": secret},
        {"type": "redacted_thinking", "data": secret},
    ):
        (name,) = reasoning_in(json.dumps(body).encode())
        assert secret not in name
        assert reasoning_in(json.dumps([body, body]).encode()) == [name]
    assert reasoning_in(b'{"type": "image", "data": "aaaaaaaaaaaaaaaaaaaaaaaaaa"}') == []


@pytest.mark.parametrize(
    ("body", "usually", "stored"),
    [
        (b"{}", True, True),
        (b'{"store": false}', True, False),
        (b'{"store":false, "store": true}', False, True),
        (b'{"input": [{"store": false}]}', True, True),
        (b'{"store": null}', False, False),
        (b'{"broken', True, True),
    ],
)
def test_a_body_says_at_its_top_whether_the_answer_is_kept(body, usually, stored):
    assert top_of(body).stores(usually=usually) is stored


def test_a_body_says_at_its_top_what_it_continues():
    assert top_of(b'{"previous_response_id": "resp_123"}').named == ["resp_123"]
    assert top_of(b'{"conversation": "conv_123"}').named == ["conv_123"]
    assert top_of(b'{"conversation": {"id": "conv_123"}}').named == ["conv_123"]
    assert top_of(b'{"conversation": null, "input": "resp_123"}').named == []


def test_a_call_for_an_answer_names_files_containers_and_vector_stores():
    body = {
        "input": [
            {"type": "input_file", "file_id": "file-12345"},
            {"type": "code_interpreter_call", "container_id": "cntr_1234"},
            {"type": "function_call", "id": "fc_12345", "call_id": "call_12345"},
        ],
        "tools": [
            {"type": "file_search", "vector_store_ids": ["vs_12345", "vs_23456"]},
            {"type": "code_interpreter", "container": "cntr_2345"},
        ],
    }
    found = state_named_in(json.dumps(body).encode())
    assert set(found) == {"file-12345", "cntr_1234", "cntr_2345", "vs_12345", "vs_23456"}


def test_the_newest_items_and_reasoning_come_first():
    secrets = ["secret-" + letter * 20 for letter in "abc"]
    items = [
        {"type": "reasoning", "id": f"rs_{secret[-4:]}", "encrypted_content": secret}
        for secret in secrets
    ]
    body = json.dumps({"input": items}).encode()
    assert newest_items_in(body) == ["rs_cccc", "rs_bbbb", "rs_aaaa"]
    assert newest_reasoning_in(body, signed=False) == reasoning_in(body)[::-1]
    redacted = b'{"type": "redacted_thinking", "data": "aaaaaaaaaaaaaaaaaaaaaaaa"}'
    assert newest_reasoning_in(redacted, signed=True) == reasoning_in(redacted)


def test_the_first_model_of_a_batch_is_a_hint():
    line = b'{"custom_id": "1", "body": {"model": "gpt-4.1", "messages": []}}\n'
    assert model_hint(line * 3) == "gpt-4.1"
    assert model_hint(b"nothing") is None


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (rb'{"file\u005fids": ["file-1"]}', ["file-1"]),
        (rb'{"input_file_id": "file\u002d1"}', ["file-1"]),
        (b'{"file_ids": [' + b" " * 50_000 + b'"file-1"]}', ["file-1"]),
        (rb'{"name": "\u00e9\u0022, \u005c", "file_id": "file-1"}', ["file-1"]),
        (b'{"metadata": {"file_id": "file-2", "x": "}\\""}, "file_id": "file-1"}', ["file-1"]),
        (b'{"tools": [{"type": "mcp", "connector_id": "connector_dropbox"}]}', []),
        (b'{"requests": [{"custom_id": "request-1", "params": {}}]}', []),
    ],
)
def test_an_id_cannot_be_hidden_and_what_clients_say_for_themselves_is_none(body, named):
    assert ids_named_in(searchable(body)) == named
    assert ids_in_answer(body) == named


def test_a_body_without_escapes_is_searched_as_it_is():
    body = json.dumps({"input": "h\u00e9llo", "file_id": "file-1"}, ensure_ascii=False).encode()
    assert searchable(body) is body


@pytest.mark.parametrize(
    "body",
    [
        b'{"input": "' + rb"\u0041" * 300_000 + b'"}',
        b'{"metadata": {' + b'"a": "b", ' * 200_000,
        b'"metadata": {"a' * 120_000,
        b'{"input": "' + rb"\u003c\u00e9" * 150_000 + b'"}',
    ],
    ids=["escapes", "one that never ends", "many that never end", "escapes as Go writes them"],
)
def test_what_hides_ids_is_undone_at_the_speed_of_a_parser(body):
    began = process_time()
    searchable(body)
    assert process_time() - began < 1.0


@pytest.mark.parametrize(
    ("item", "ids"),
    [
        ({"id": "msg_1"}, ["msg_1"]),
        ({"id": "msg_1", "type": None}, ["msg_1"]),
        ({"type": None, "id": "msg_1"}, ["msg_1"]),
        ({"id": "msg_1", "type": "message", "content": []}, []),
        ({"type": "message", "content": [], "id": "msg_1"}, []),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_an_object_with_an_id_alone_refers_to_an_item(item, ids, indent):
    body = {"prompt": {"id": "pmpt_1"}, "input": [{"role": "user", "content": "hi"}, item]}
    assert items_referred_to_in(json.dumps(body, indent=indent).encode()) == ids
