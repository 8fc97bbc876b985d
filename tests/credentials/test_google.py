"""Google tokens: asked of a token server on this machine, with the key of a service account."""

import json
import threading
from base64 import urlsafe_b64decode
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import pytest

pytest.importorskip("google.auth")
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from llmproxy.batteries.credentials.google import GoogleToken, google_token


class TokenServer(HTTPServer):
    """Gives a token to whoever proves to hold the key."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.key = rsa.generate_private_key(65537, 2048)
        self.claims = []
        self.refusing = False


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        head, claims, signature = form["assertion"][0].split(".")
        self.server.key.public_key().verify(
            decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
        )
        self.server.claims.append(json.loads(decoded(claims)))
        token = {"access_token": "ya29.token", "expires_in": 3600, "token_type": "Bearer"}
        status, body = (200, token) if not self.server.refusing else (400, {"error": "no_grant"})
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *arguments):
        pass


def decoded(part):
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


@pytest.fixture
def server():
    with TokenServer() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def key_file(server, tmp_path):
    key = server.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": key.decode(),
        "client_email": "proxy@p.iam.gserviceaccount.com",
        "token_uri": f"http://127.0.0.1:{server.server_port}/token",
    }
    file = tmp_path / "key.json"
    file.write_text(json.dumps(account))
    return str(file)


def test_the_key_of_a_service_account_gets_a_token_for_the_platform(server, key_file):
    found = google_token(key_file, lambda: 0.0)()
    assert found.value == GoogleToken(b"ya29.token", None)
    assert found.expires_at - found.renew_at == 300.0
    (claims,) = server.claims
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    assert claims["iss"] == "proxy@p.iam.gserviceaccount.com"
    assert "ya29" not in repr(found.value)


def test_each_fetch_asks_for_another_token(server, key_file):
    fetch = google_token(key_file)
    fetch()
    fetch()
    assert len(server.claims) == 2


def test_a_refusal_is_an_error(server, key_file):
    server.refusing = True
    with pytest.raises(Exception, match="no_grant"):
        google_token(key_file)()


def test_without_a_file_the_default_credentials_are_used(server, key_file, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", key_file)
    assert google_token(None)().value.token == b"ya29.token"
