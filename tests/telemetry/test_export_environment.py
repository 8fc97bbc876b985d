"""OpenTelemetry's variables, and the way through a proxy."""

import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socket import create_connection
from socketserver import ThreadingTCPServer

import pytest

from tests.support.certificates import Authority
from tests.support.collector import collector
from tests.telemetry.exporting import sent_with, tracing


@pytest.mark.parametrize("prefix", ["OTEL_EXPORTER_OTLP", "OTEL_EXPORTER_OTLP_TRACES"])
@pytest.mark.parametrize(("method", "first"), [("gzip", b"\x1f\x8b"), ("deflate", b"\x78")])
def test_requests_are_compressed_on_demand(prefix, method, first):
    seen = sent_with({f"{prefix}_COMPRESSION": method})
    assert seen.requests[0][1]["content-encoding"] == method
    assert seen.bodies[0].startswith(first)


def test_an_unknown_compression_is_named_and_none_is_used(caplog):
    seen = sent_with({"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"})
    assert "content-encoding" not in seen.requests[0][1]
    [message] = caplog.messages
    assert "OTEL_EXPORTER_OTLP_COMPRESSION: found 'zstd'" in message


def test_headers_come_from_the_environment_and_from_the_config_which_has_the_last_word():
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "X-Tenant=a%2Cb, x-both = environment ,authorization=k e y",
    }
    headers = sent_with(environ, headers="{X-Both: config}").requests[0][1]
    assert headers["x-tenant"] == "a,b"
    assert headers["authorization"] == "k e y"
    assert headers["x-both"] == "config"


def test_the_variable_for_traces_goes_before_the_common_one():
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "x-a=common,x-b=common",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-a=traces",
    }
    headers = sent_with(environ).requests[0][1]
    assert headers["x-a"] == "traces"
    assert "x-b" not in headers


@pytest.mark.parametrize("entry", ["sk-secret", "=sk-secret", "x y=sk-secret", "x=sk-secret%0d%0a"])
def test_an_impossible_header_is_left_out_and_not_shown(entry, caplog):
    headers = sent_with({"OTEL_EXPORTER_OTLP_HEADERS": f"x-good=1,{entry}"}).requests[0][1]
    assert headers["x-good"] == "1"
    assert not any("secret" in value for value in headers.values())
    [message] = caplog.messages
    assert message.startswith("OTEL_EXPORTER_OTLP_HEADERS: ")
    assert "secret" not in message


def test_attributes_of_the_service_come_from_the_environment():
    environ = {
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=prod%20eu, service.instance.id=7,"
        "service.name=ignored",
        "OTEL_SERVICE_NAME": "ignored",
    }
    resource = sent_with(environ, service_name="gateway").resource
    assert resource["deployment.environment"] == "prod eu"
    assert resource["service.instance.id"] == "7"
    assert resource["service.name"] == "gateway"


@pytest.mark.parametrize(
    "variable", ["OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE"]
)
def test_a_collector_may_have_a_certificate_of_ones_own_authority(tmp_path, variable):
    authority = Authority(tmp_path)
    with collector(tls=authority.server_context("127.0.0.1")) as seen:
        with tracing(seen.endpoint, {variable: str(authority.file())}):
            pass
        assert len(seen.spans) == 1


def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path, caplog):
    with collector(tls=Authority(tmp_path).server_context("127.0.0.1")) as seen:
        with tracing(seen.endpoint) as tracer:
            tracer.close()
        assert not seen.spans
        assert tracer.lost == 1
    assert "certificate verify failed" in caplog.text


def test_a_client_certificate_is_shown(tmp_path):
    authority = Authority(tmp_path)
    tls = authority.server_context("127.0.0.1")
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(authority.file())
    certificate, key = authority.pair("proxy")
    environ = {
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(authority.file()),
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(certificate),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(key),
    }
    with collector(tls=tls) as seen:
        with tracing(seen.endpoint, environ):
            pass
        assert len(seen.spans) == 1


def test_a_certificate_that_cannot_be_read_is_named(caplog):
    with tracing("https://127.0.0.1:1", {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere.pem"}):
        pass
    [message] = caplog.messages
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in message


# ---- through a proxy


@contextmanager
def connect_proxy():
    """Run a CONNECT proxy; yield its port and what it is asked, with the credentials."""
    asked = []

    class Tunnel(BaseHTTPRequestHandler):
        def do_CONNECT(self):
            asked.append((self.path, self.headers.get("proxy-authorization")))
            host, _, port = self.path.rpartition(":")
            with create_connection((host, int(port))) as origin:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_copy, args=(origin, self.connection))
                back.start()
                _copy(self.connection, origin)
                back.join()

        def log_message(self, *_):
            pass

    with ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server.server_address[1], asked
        server.shutdown()


def _copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(1)
    except OSError:
        pass


def test_an_https_collector_is_reached_through_the_proxy_of_the_environment(tmp_path):
    authority = Authority(tmp_path)
    with (
        collector(tls=authority.server_context("127.0.0.1")) as seen,
        connect_proxy() as (port, asked),
    ):
        environ = {
            "https_proxy": f"http://me:p%40ss@127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(authority.file()),
        }
        with tracing(seen.endpoint, environ):
            pass
        assert asked == [(f"127.0.0.1:{seen.port}", "Basic bWU6cEBzcw==")]
        with tracing(seen.endpoint, {**environ, "no_proxy": "127.0.0.1"}):
            pass
        assert len(asked) == 1
        assert len(seen.spans) == 2


@pytest.mark.parametrize("proxy", ["https://h:1", "http://", "http://k:sk-secret@h:x"])
def test_an_impossible_proxy_is_reported_without_its_credentials(proxy, caplog):
    with tracing("https://127.0.0.1:1", {"HTTPS_PROXY": proxy}):
        pass
    [message] = caplog.messages
    assert "https_proxy is not of the form http://host:port" in message
    assert "secret" not in message
