"""AWS signatures: a second implementation accepts them, and no changed request passes."""

import json
from dataclasses import replace as changed

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.credentials.aws import AwsKeys, aws_keys, region_of, service_of, signature
from llmproxy.calls import Outgoing
from llmproxy.errors import CredentialRejected
from tests.credentials.sigv4 import ACCESS_KEY, SECRET_KEY, is_genuine, scope_of
from tests.support.run import bounded
from tests.support.vendor import Received

pytest.importorskip("botocore")

KEYS = AwsKeys(ACCESS_KEY, SECRET_KEY, None, None)
HOST = "bedrock-runtime.us-east-1.amazonaws.com"
CHAT = Outgoing(b"POST", b"/openai/v1/chat/completions", b"", b'{"model": "m"}')


async def received(outgoing, keys=KEYS, origin=f"https://{HOST}"):
    """Return a request as AWS gets it."""
    headers = await signature(outgoing, keys, origin=origin, service="bedrock", region="us-east-1")
    lines = [("host", origin.partition("//")[2])]
    lines += [(name.decode(), value.decode()) for name, value in headers]
    line = f"{outgoing.method.decode()} {outgoing.target.decode()} HTTP/1.1"
    return Received(line, lines, outgoing.body, 1)


@bounded()
async def test_a_request_is_signed_for_its_service_and_region():
    got = await received(CHAT)
    assert is_genuine(got)
    assert scope_of(got) == ("bedrock", "us-east-1")
    assert got.header("x-amz-security-token") is None


@bounded()
async def test_the_token_of_temporary_keys_is_sent_and_signed():
    got = await received(CHAT, KEYS._replace(token="session/token=="))
    assert got.header("x-amz-security-token") == "session/token=="
    assert "x-amz-security-token" in got.header("authorization")
    assert is_genuine(got)


segments = st.text("abcXYZ019-_.~:@%", min_size=1, max_size=9).map(
    lambda text: text.replace("%", "%3A").replace(".", "x.")
)
queries = st.lists(st.tuples(segments, segments), max_size=3)


@given(st.lists(segments, min_size=1, max_size=3), queries, st.binary(max_size=50))
def test_any_target_and_body_is_signed_as_it_is_sent(parts, query, body):
    @bounded()
    async def check():
        target = "/" + "/".join(parts)
        if query:
            target += "?" + "&".join(f"{name}={value}" for name, value in query)
        assert is_genuine(await received(Outgoing(b"POST", target.encode(), b"", body)))

    check()


@bounded()
async def test_a_large_body_is_signed_the_same():
    body = json.dumps({"model": "m", "padding": "x" * 1_000_000}).encode()
    assert is_genuine(await received(Outgoing(b"POST", b"/v1/messages", b"", body)))


@bounded()
async def test_no_changed_request_passes():
    got = await received(CHAT)
    assert not is_genuine(changed(got, body=b'{"model": "n"}'))
    assert not is_genuine(changed(got, line=got.line.replace("chat", "chit")))
    assert not is_genuine(got, "another secret")
    assert not is_genuine(changed(got, headers=[("host", "elsewhere"), *got.headers[1:]]))


@bounded()
async def test_an_upload_is_refused_because_it_cannot_be_hashed_before_it_is_there():
    with pytest.raises(CredentialRejected, match="cannot be signed") as caught:
        await received(Outgoing(b"POST", b"/v1/files", b"", object()))
    assert not caught.value.sent


@pytest.mark.parametrize(
    ("host", "region", "service"),
    [
        (HOST, "us-east-1", "bedrock"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", "bedrock"),
        ("bedrock-mantle.eu-central-1.api.aws", "eu-central-1", "bedrock-mantle"),
        ("vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com", "eu-west-1", "bedrock"),
        ("127.0.0.1", None, "bedrock"),
        ("llm.example.com", None, "bedrock"),
    ],
)
def test_the_host_names_the_region_and_the_service(host, region, service):
    assert (region_of(host), service_of(host)) == (region, service)


def test_the_keys_and_the_region_of_a_profile_are_found_as_aws_tools_do(tmp_path, monkeypatch):
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[prod]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    )
    config = tmp_path / "config"
    config.write_text("[profile prod]\nregion = eu-north-1\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    found = aws_keys("prod", lambda: 1000.0)()
    assert found.value == AwsKeys(ACCESS_KEY, SECRET_KEY, None, "eu-north-1")
    assert found.renew_at < found.expires_at
    with pytest.raises(CredentialRejected, match="no AWS keys"):
        aws_keys(None)()


def test_keys_are_never_shown():
    assert SECRET_KEY not in repr(KEYS)
