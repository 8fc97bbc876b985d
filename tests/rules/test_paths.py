"""A path says which operation is meant, and can only mean the one that was checked."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.errors import ClientError
from llmproxy.operations import CHAT, MESSAGES, OPAQUE, RESPONSES, Replay, Route
from llmproxy.rules.paths import route_of


def route(path: str, method: str = "POST") -> Route:
    found = route_of(path.encode("ascii"), method)
    assert found is not None
    return found


@pytest.mark.parametrize("prefix", ["/v1/", "/", "/openai/v1/", "/openai/"])
@pytest.mark.parametrize(
    "operation", ["chat/completions", "responses/resp_1/cancel", "files", "audio/speech", "rerank"]
)
def test_every_style_of_base_url_leads_to_the_same_operation(prefix, operation):
    assert route(prefix + operation) == route("/v1/" + operation)
    assert route(prefix + operation).path == operation


def test_an_azure_deployment_names_the_model():
    found = route("/openai/deployments/gpt-4.1/chat/completions")
    assert found.model == "gpt-4.1"
    assert found.path == "chat/completions"
    assert found.dialect is CHAT
    assert route("/openai/deployments/m%C3%B6del%201/embeddings").model == "m\xf6del 1"


def test_an_unknown_operation_passes_under_v1_only():
    assert route("/v1/whatever/comes-next").path == "whatever/comes-next"
    assert route_of(b"/whatever/comes-next", "POST") is None


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/openai/",
        "/openai/v1",
        "/openai/deployments",
        "/favicon.ico",
        "/admin/x",
        "/openai/deployments/gpt",
        "/openai/deployments//chat/completions",
        "",
        "*",
    ],
)
def test_a_path_outside_the_data_plane_has_no_route(path):
    assert route_of(path.encode(), "GET") is None


@pytest.mark.parametrize(
    ("operation", "dialect"),
    [
        ("chat/completions", CHAT),
        ("completions", CHAT),
        ("responses", RESPONSES),
        ("responses/resp_1", RESPONSES),
        ("messages", MESSAGES),
        ("embeddings", OPAQUE),
        ("audio/speech", OPAQUE),
    ],
)
def test_the_dialect_follows_from_the_operation(operation, dialect):
    assert route("/v1/" + operation).dialect is dialect


@pytest.mark.parametrize(
    ("operation", "replay"),
    [(safe, Replay.SAFE) for safe in ("chat/completions", "completions", "embeddings")]
    + [(safe, Replay.SAFE) for safe in ("moderations", "responses", "rerank", "messages")]
    + [(costly, Replay.COSTLY) for costly in ("images/generations", "images/edits")]
    + [(costly, Replay.COSTLY) for costly in ("audio/speech", "audio/transcriptions")]
    + [(unsafe, Replay.UNSAFE) for unsafe in ("files", "uploads", "uploads/u/parts", "batches")]
    + [(unsafe, Replay.UNSAFE) for unsafe in ("fine_tuning/jobs", "vector_stores", "threads")]
    + [(unsafe, Replay.UNSAFE) for unsafe in ("conversations", "responses/r/cancel", "videos")]
    + [(unsafe, Replay.UNSAFE) for unsafe in ("chat/completions/c_1", "never/heard/of")],
)
def test_what_may_be_posted_again_is_as_the_facts_say(operation, replay):
    assert route("/v1/" + operation).replay is replay


@pytest.mark.parametrize("operation", ["files", "responses/resp_1", "chat/completions", "batches"])
def test_reading_is_always_safe_and_deleting_never(operation):
    assert route("/v1/" + operation, "GET").replay is Replay.SAFE
    assert route("/v1/" + operation, "HEAD").replay is Replay.SAFE
    assert route("/v1/" + operation, "DELETE").replay is Replay.UNSAFE


@pytest.mark.parametrize(
    ("method", "operation"),
    [("POST", bound) for bound in ("files", "uploads", "batches", "fine_tuning/jobs")]
    + [("GET", bound) for bound in ("vector_stores/v", "assistants", "threads/t", "containers")]
    + [("GET", bound) for bound in ("evals", "conversations/c", "responses/resp_1", "videos/v")]
    + [("GET", bound) for bound in ("responses/resp_1/input_items", "chat/completions/c", "videos")]
    + [("GET", "chat/completions"), ("POST", "responses/resp_1/cancel"), ("DELETE", "models/ft")],
)
def test_ids_live_in_one_account(method, operation):
    assert route("/v1/" + operation, method).bound_to_account


@pytest.mark.parametrize(
    ("method", "operation"),
    [("POST", free) for free in ("chat/completions", "responses", "embeddings", "images/edits")]
    + [("POST", free) for free in ("responses/compact", "responses/input_tokens", "videos")]
    + [("GET", free) for free in ("models", "models/gpt-4.1", "realtime")]
    + [("POST", "messages"), ("POST", "messages/count_tokens"), ("POST", "audio/speech")],
)
def test_what_names_no_id_may_go_anywhere(method, operation):
    assert not route("/v1/" + operation, method).bound_to_account


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../admin",
        "/v1/files/..",
        "/v1/files/./x",
        "/chat/../admin",
        "/v1/files//x",
        "/v1//x",
        "/v1/files/",
        "/v1/files/%2e%2e/x",
        "/v1/files/%2E./x",
        "/v1/files/a%2fb",
        "/v1/files/a%2Fb",
        "/v1/files/a%5cb",
        "/v1/files/a\\b",
        "/v1/files/a%00",
        "/v1/files/a%3fb",
        "/v1/files/a%23b",
        "/v1/files/a%252fb",
        "/v1/files/a%0d%0ab",
        "/v1/files/a%",
        "/v1/files/a%zz",
        "/v1/a b",
        "/v1/files/a\x00",
        "/v1/files/a\x7f",
        "/v1/files/a\r\nb",
        "/v1/a?b",
        "/v1/a#b",
        "/v1/..;/x",
        "/openai/deployments/../chat/completions",
        "/openai/deployments/%ff/chat/completions",
        "/openai/deployments/a/../x",
        "/v1/files/%7f",
    ],
)
def test_a_path_that_could_mean_another_one_is_refused(path):
    with pytest.raises(ClientError) as refused:
        route_of(path.encode("latin-1"), "GET")
    assert refused.value.status == 400


def test_bytes_outside_ascii_are_refused():
    with pytest.raises(ClientError):
        route_of("/v1/files/ä".encode(), "GET")


def test_ids_keep_their_encoding():
    assert route("/v1/files/a%20b%C3%A4~c", "GET").path == "files/a%20b%C3%A4~c"


segments = st.one_of(
    st.sampled_from(
        ["v1", "openai", "deployments", "files", "..", ".", "", "%2e", "%2f", "%", "\\"]
    ),
    st.text(st.characters(max_codepoint=255), max_size=6),
)


@given(st.lists(segments, max_size=6), st.sampled_from(["GET", "POST", "DELETE"]))
def test_whatever_is_sent_is_refused_or_leads_nowhere_but_below_its_base(parts, method):
    path = "/" + "/".join(parts)
    try:
        found = route_of(path.encode("latin-1"), method)
    except ClientError as refused:
        assert refused.status == 400
        return
    if found is None:
        return
    assert path.endswith(found.path)
    for once in (found.path, unquote(found.path)):
        checked = once.replace("models//", "models/", 1)  # a model's name that begins with a slash
        assert all(part not in ("", ".", "..") for part in checked.split("/"))
        assert not set(once) & set("?#\\\0\r\n")
    assert unquote(found.path).count("/") == found.path.count("/")


@pytest.mark.parametrize("slash", ["%2F", "%2f"])
def test_a_models_name_may_hold_an_encoded_slash_but_no_way_out(slash):
    name = f"meta-llama{slash}Llama-3.1-8B"
    route = route_of(f"/v1/models/{name}".encode(), "GET")
    assert route.path == f"models/{name}"
    route = route_of(f"/openai/deployments/{name}/chat/completions".encode(), "POST")
    assert (route.path, route.model) == ("chat/completions", "meta-llama/Llama-3.1-8B")
    for bad in (
        f"a{slash}..{slash}b",
        f"..{slash}files",
        f"{slash}{slash}a",
        f"a{slash}{slash}b",
        "%2e%2e",
    ):
        for path in (f"/v1/models/{bad}", f"/openai/deployments/{bad}/chat/completions"):
            with pytest.raises(ClientError):
                route_of(path.encode(), "GET")
