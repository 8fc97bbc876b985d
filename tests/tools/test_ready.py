"""The check behind the image's HEALTHCHECK: is the proxy ready, and if not, why."""

import socket
import sys
import threading

import pytest

from llmproxy.tools.ready import main, why_not_ready
from tests.support.certificates import Authority
from tests.support.process import command, running
from tests.support.proxy import config_for
from tests.support.run import bounded


def answering(*answers, family=socket.AF_INET, host="127.0.0.1"):
    """Give each connection to a free port an answer; return the port and what was asked."""
    listening = socket.create_server((host, 0), family=family)
    asked = []

    def serve():
        with listening:
            for answer in answers:
                connection, _ = listening.accept()
                with connection:
                    asked.append(connection.recv(4096).decode())
                    connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return listening.getsockname()[1], asked


@bounded()
async def test_a_serving_proxy_is_ready_and_one_that_has_ended_is_not(tmp_path):
    asks = ("-m", "llmproxy.tools.ready")
    async with running(tmp_path / "proxy", config=config_for("http://127.0.0.1:1")) as proxy:
        found = await command(*asks, proxy.base, program=sys.executable)
        assert (found.status, found.stdout, found.stderr) == (0, "", "")
        by_variable = {"LLMPROXY_READY_URL": proxy.base}
        assert (await command(*asks, program=sys.executable, environ=by_variable)).status == 0
    found = await command(*asks, proxy.base, program=sys.executable)
    assert found.status == 1
    assert found.stderr == f"{proxy.base} is not ready: [Errno 111] Connection refused.\n"


def test_a_proxy_that_drains_is_not_ready(capsys):
    port, _ = answering(b"HTTP/1.1 503 Service Unavailable\r\n\r\n{}")
    assert main([f"http://127.0.0.1:{port}"]) == 1
    assert "/readyz answered 'HTTP/1.1 503 Service Unavailable'." in capsys.readouterr().err


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 404 Not Found\r\n"])
def test_what_is_no_answer_of_a_proxy_is_not_ready(answer):
    port, _ = answering(answer)
    assert "/readyz answered" in why_not_ready(f"http://127.0.0.1:{port}")


def test_an_ipv6_address_has_brackets():
    port, asked = answering(b"HTTP/1.1 200 OK\r\n\r\n", family=socket.AF_INET6, host="::1")
    assert why_not_ready(f"http://[::1]:{port}/") is None
    assert f"Host: [::1]:{port}\r\n" in asked[0]


def test_a_unix_socket_is_asked(tmp_path):
    path = tmp_path / "s"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def serve_once():
        connection, _ = listening.accept()
        with listening, connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    threading.Thread(target=serve_once, daemon=True).start()
    assert why_not_ready(f"unix:{path}") is None
    path.unlink()
    assert "No such file" in why_not_ready(f"unix:{path}")


def test_a_certificate_for_the_address_of_clients_is_no_reason(tmp_path):
    context = Authority(tmp_path).server_context("llm.example.com")
    listening = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)

    def serve_once():
        connection, _ = listening.accept()
        with listening, connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    threading.Thread(target=serve_once, daemon=True).start()
    assert why_not_ready(f"https://127.0.0.1:{listening.getsockname()[1]}") is None


@pytest.mark.parametrize("url", ["127.0.0.1:4000", "ftp://127.0.0.1:1", "http://127.0.0.1:x", ""])
def test_what_is_no_address_is_refused(url):
    assert main([url]) == 1


def test_it_imports_no_http_client_and_nothing_of_the_proxy():
    """It runs every few seconds, so a slow import would be a load of its own."""
    import subprocess

    program = "import sys; sys.argv[1:]=['-']; import llmproxy.tools.ready; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    imported = set(result.stdout.split())
    assert "llmproxy.tools.ready" in imported
    assert not imported & {"http.client", "urllib.request", "ssl", "asyncio", "pydantic", "email"}
    assert {name for name in imported if name.startswith("llmproxy")} == {
        *("llmproxy", "llmproxy.tools", "llmproxy.tools.ready"),
    }
