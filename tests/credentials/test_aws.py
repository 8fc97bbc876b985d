"""AWS signatures: a second implementation accepts them, and no changed request passes."""

import asyncio
import json
import threading
from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.credentials.aws import AwsKeys, aws_keys, region_of, service_of, signature
from llmproxy.calls import Outgoing
from llmproxy.errors import CredentialRejected
from tests.credentials.sigv4 import ACCESS_KEY, SECRET_KEY, is_genuine, scope_of
from tests.support.run import bounded
from tests.support.vendor import Received

KEYS = AwsKeys(ACCESS_KEY, SECRET_KEY, None, None)
HOST = "bedrock-runtime.us-east-1.amazonaws.com"
CHAT = Outgoing(b"POST", b"/openai/v1/chat/completions", b"", b'{"model": "m"}')


NOW = 1_795_000_000.0


async def received(outgoing, keys=KEYS):
    """Return a request as AWS gets it."""
    where = {"host": HOST.encode(), "service": "bedrock", "region": "us-east-1"}
    headers = await signature(outgoing, keys, **where, now=NOW)
    lines = [("host", HOST)]
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
        ("aws-external-anthropic.us-west-2.api.aws", "us-west-2", "aws-external-anthropic"),
        ("127.0.0.1", None, "bedrock"),
        ("llm.example.com", None, "bedrock"),
    ],
)
def test_the_host_names_the_region_and_the_service(host, region, service):
    assert (region_of(host), service_of(host)) == (region, service)


@bounded()
async def test_the_vector_that_aws_published_is_signed_as_there():
    request = Outgoing(b"GET", b"/", b"", b"")
    where = {"host": b"example.amazonaws.com", "service": "service", "region": "us-east-1"}
    headers = await signature(request, KEYS, **where, now=1_440_938_160.0)  # 2015-08-30 12:36
    assert dict(headers)[b"authorization"].endswith(
        b"SignedHeaders=host;x-amz-date, "
        b"Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    )


@given(st.lists(segments, min_size=1, max_size=3), queries, st.binary(max_size=50))
def test_botocore_signs_the_same(parts, query, body):
    auth = pytest.importorskip("botocore.auth")
    from botocore.awsrequest import AWSRequest

    target = "/" + "/".join(parts) + "?" + "&".join(f"{name}={value}" for name, value in query)
    target = target.rstrip("?")
    got = asyncio.run(received(Outgoing(b"POST", target.encode(), b"", body)))
    signer = auth.SigV4Auth(KEYS, "bedrock", "us-east-1")
    request = AWSRequest("POST", f"https://{HOST}{target}", data=body)
    date = request.headers["X-Amz-Date"] = request.context["timestamp"] = got.header("x-amz-date")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert date.startswith("20261118T")
    assert got.header("authorization").endswith(signer.signature(text, request))


def test_the_keys_and_the_region_of_a_profile_are_found_as_aws_tools_do(tmp_path, monkeypatch):
    pytest.importorskip("botocore")
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


class Container(HTTPServer):
    """The credential endpoint of a container: each answer has other keys, which last `minutes`."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), ContainerHandler)
        self.minutes = 60
        self.count = 0


class ContainerHandler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.count += 1
        end = datetime.now(UTC) + timedelta(minutes=self.server.minutes)
        keys = {
            "AccessKeyId": f"ASIA{self.server.count}",
            "SecretAccessKey": SECRET_KEY,
            "Token": "temporary",
            "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(keys).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def container(monkeypatch, tmp_path):
    with Container() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
            monkeypatch.setenv(name, str(tmp_path / "none"))
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        address = f"http://127.0.0.1:{running.server_port}/keys"
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", address)
        yield running
        running.shutdown()


def test_temporary_keys_are_asked_for_again_before_they_end(container):
    pytest.importorskip("botocore")
    fetch = aws_keys(None)
    first = fetch().value
    assert (first.access_key, first.token, first.region) == ("ASIA1", "temporary", "eu-west-1")
    assert fetch().value == first
    container.minutes = 12  # botocore renews keys 15 minutes before they end
    fetch = aws_keys(None)
    second, third = fetch().value, fetch().value
    assert len({first.access_key, second.access_key, third.access_key}) == 3


def test_keys_are_used_no_longer_than_botocore_vouches_for_them(container):
    pytest.importorskip("botocore")
    found = aws_keys(None, lambda: 1000.0)()
    assert found.renew_at - 1000.0 <= 60.0
    assert found.expires_at - 1000.0 <= 600.0
