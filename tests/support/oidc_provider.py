"""A small OpenID provider on a real socket: discovery, keys, tokens, authorization codes."""

import hmac
import json
import threading
from base64 import b64encode, urlsafe_b64encode
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_urlsafe
from time import time
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

AUDIENCE = "llmproxy"
CLIENT_ID = "dashboard"


_ONE_AT_A_TIME = threading.Lock()


def private_key(name):
    """The private key of this name, such as `RS256-a`; made once, because that takes a while."""
    with _ONE_AT_A_TIME:
        return _private_key(name)


@cache
def _private_key(name):
    alg = name.partition("-")[0]
    if alg.startswith("ES"):
        curve = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[alg]
        return ECKey.generate_key(curve, {"kid": name})
    if alg == "EdDSA":
        return OKPKey.generate_key("Ed25519", {"kid": name})
    return RSAKey.generate_key(2048, {"kid": name})


def base64(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(data).rstrip(b"=")


def signed(header, claims, key):
    """A token with this header and these claims: objects, or JSON as bytes."""
    content = base64(header) + b"." + base64(claims)
    alg = json.loads(header)["alg"] if isinstance(header, bytes) else header["alg"]
    return (content + b"." + base64(JWSRegistry.algorithms[alg].sign(content, key))).decode()


def by_secret(header, claims, secret):
    """A token whose signature is an HMAC, whatever the header says."""
    content = base64(header) + b"." + base64(claims)
    return (content + b"." + base64(hmac.digest(secret, content, "sha256"))).decode()


def shared_secret(secret):
    return OctKey.import_key(secret)


@dataclass
class Provider:
    """A running provider.

    `keys`: the names of those that it publishes. `status`: what it answers for its keys.
    `document`: instead of its key set. `person`: the claims of whoever signs in; `codes`: that were
    given out, with the request for each. `asked`: the paths that were asked for.
    """

    port: int = 0
    keys: list = field(default_factory=lambda: ["RS256-a"])
    status: int = 200
    document: bytes | None = None
    date_ahead_s: float = 0
    silence: threading.Event | None = None
    person: dict = field(default_factory=dict)
    codes: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    sent: list = field(default_factory=list)  # the forms of the token endpoint
    secret: str | None = None
    id_token_changes: dict = field(default_factory=dict)

    @property
    def issuer(self):
        return f"http://127.0.0.1:{self.port}/realm"

    def jwt(self, **more):
        """The section `jwt` of a config."""
        return {"issuer": self.issuer, "audience": AUDIENCE, **more}

    def claims(self, **changes):
        """The claims of a valid token; None leaves one out."""
        now = time()
        usual = {"iss": self.issuer, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 300}
        return {key: value for key, value in {**usual, **changes}.items() if value is not None}

    def token(self, key="RS256-a", *, header=(), **claims):
        """A token that is signed by a key of this name."""
        head = {"alg": key.partition("-")[0], "kid": key, "typ": "JWT", **dict(header)}
        head = {name: value for name, value in head.items() if value is not None}
        return signed(head, self.claims(**claims), private_key(key))

    def count(self, path):
        """How often a path was asked for."""
        return sum(1 for asked in self.asked if asked.endswith(path))

    def answer(self, path, query):
        """The answer to a GET: status, headers, body."""
        match path:
            case "/realm/.well-known/openid-configuration":
                return 200, {}, self._discovery()
            case "/realm/keys":
                if self.silence is not None:
                    self.silence.wait(30)
                keys = {"keys": [private_key(name).as_dict(private=False) for name in self.keys]}
                return self.status, {}, self.document or json.dumps(keys).encode()
            case "/realm/authorize":
                return self._authorize(query)
        return 404, {}, b"{}"

    def _discovery(self):
        at = self.issuer
        return json.dumps(
            {
                "issuer": at,
                "jwks_uri": f"{at}/keys",
                "authorization_endpoint": f"{at}/authorize?realm=1",
                "token_endpoint": f"{at}/token",
            }
        ).encode()

    def _authorize(self, query):
        """Sign the person in without a question, and send it back with a code."""
        assert query["client_id"] == CLIENT_ID
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = token_urlsafe(8)
        self.codes[code] = query
        back = urlencode({"code": code, "state": query["state"]})
        return 302, {"location": f"{query['redirect_uri']}?{back}"}, b""

    def _basic(self):
        pair = f"{CLIENT_ID}:{quote(self.secret, safe='')}"
        return f"Basic {b64encode(pair.encode()).decode()}"

    def exchange(self, form, authorization):
        """The answer of the token endpoint: each code is good for once, with its verifier."""
        self.sent.append((form, authorization))
        asked = self.codes.pop(form.get("code"), None)
        challenge = base64(sha256(form.get("code_verifier", "").encode()).digest()).decode()
        if (
            asked is None
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form.get("redirect_uri")
        ):
            return 400, {}, b'{"error": "invalid_grant"}'
        if self.secret is not None and authorization != self._basic():
            return 401, {}, b'{"error": "invalid_client"}'
        claims = {"aud": CLIENT_ID, "nonce": asked["nonce"], **self.person, **self.id_token_changes}
        token = self.token(self.keys[0], **claims)
        return 200, {}, json.dumps({"id_token": token, "access_token": "unused"}).encode()


@contextmanager
def oidc_provider(port=0, **fields):
    """Run a provider."""
    provider = Provider(**fields)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            url = urlsplit(self.path)
            provider.asked.append(url.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            self.reply(*provider.answer(url.path, query))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            provider.asked.append(self.path)
            self.reply(*provider.exchange(form, self.headers.get("authorization")))

        def reply(self, status, headers, body):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp=None):
            return super().date_time_string(time() + provider.date_ahead_s)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        provider.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
