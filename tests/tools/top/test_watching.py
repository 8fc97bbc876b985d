"""`llmproxy top` at a terminal, against a made-up proxy."""

import signal

import pytest
from rich.cells import cell_len

from tests.support.valkey import free_port
from tests.tools.top import made_up
from tests.tools.top.fake import World, served
from tests.tools.top.terminal import ENTER, LEAVE, SHOW_CURSOR, Terminal

KEY = "sk-admin-secret"


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (140, 40), (50, 12)])
def test_a_frame_fills_the_screen_and_nothing_wraps(columns, rows):
    world = World(made_up.state(made_up.ill(), status="degraded"))
    with (
        served(world) as root,
        Terminal("top", "--url", root, columns=columns, rows=rows) as terminal,
    ):
        frame = terminal.until("azure-east")
        assert len(frame) == rows
        assert max(map(cell_len, frame)) <= columns
        assert "DEGRADED" in frame[0]
        assert frame[-1].startswith("q leaves.")


@pytest.mark.parametrize(
    "leave",
    [
        lambda terminal: terminal.press("q"),
        lambda terminal: terminal.press("\x03"),
        lambda terminal: terminal.process.send_signal(signal.SIGTERM),
    ],
    ids=["q", "Ctrl+C", "SIGTERM"],
)
def test_leaving_gives_the_terminal_back_as_it_was(leave):
    with served(World()) as root, Terminal("top", "--url", root) as terminal:
        terminal.until("azure-north")
        assert not terminal.restored()
        leave(terminal)
        assert terminal.ended() == 0
        assert terminal.restored()
        assert LEAVE in terminal.written
        assert SHOW_CURSOR in terminal.written
        assert terminal.said() == ""


def test_other_keys_do_nothing_and_are_not_echoed():
    with served(World()) as root, Terminal("top", "--url", root) as terminal:
        terminal.until("azure-north")
        terminal.press("zzz\x1a")
        assert "zzz" not in "\n".join(terminal.until("azure-north"))
        terminal.press("q")
        assert terminal.ended() == 0


def test_an_endpoint_is_chosen_and_drained_after_a_yes():
    world = World()
    with served(world) as root, Terminal("top", "--url", root) as terminal:
        terminal.until("azure-north")
        terminal.press("\x1b[B\x1b[Bd")
        terminal.until("[y/n] Drain azure-east of gpt-4.1?")
        assert world.done == []
        terminal.press("y")
        terminal.until(": done.")
        ((action, body),) = world.done
        assert action == "drain"
        assert set(body) == {"group", "endpoint"}
        terminal.press("c")
        terminal.until("[y/n] Clear the cooldown of")
        terminal.press("y")
        terminal.until("Your role may not do this.")
        terminal.press("q")
        assert terminal.ended() == 0


def test_a_filter_is_typed_and_the_help_is_shown():
    with served(World()) as root, Terminal("top", "--url", root) as terminal:
        terminal.until("azure-north")
        terminal.press("/north")
        frame = terminal.until("filter: north_")
        assert any("azure-north" in line for line in frame)
        terminal.press("\r?")
        terminal.until("what is LEFT of a limit")
        terminal.press("xq")
        assert terminal.ended() == 0


def test_what_is_told_is_drawn():
    world = World()
    with served(world) as root, Terminal("top", "--url", root, columns=100) as terminal:
        frame = terminal.until("no_endpoint_a")
        assert "traffic" in frame[3]
        world.new_calls = [made_up.call(50, request="GET /v1/models", group=None, endpoint=None)]
        frame = terminal.until("GET models")
        assert len([line for line in frame if "no_endpoint_a" in line]) == 1
        world.state = made_up.state(made_up.ill(), status="degraded")
        terminal.until("cooling 42s")
        world.new_points = [made_up.point(180, calls=5_000)]
        terminal.until("most 1,000/s")


def test_it_follows_the_size_of_the_terminal():
    with served(World()) as root, Terminal("top", "--url", root) as terminal:
        terminal.until("azure-north")
        terminal.resize(140, 40)
        frame = terminal.until("BREAKER")
        assert len(frame) == 40


def test_a_restart_is_told_and_survived():
    port = free_port()
    with Terminal("top", "--url", f"http://127.0.0.1:{port}", columns=120) as terminal:
        with served(World(), port):
            terminal.until("azure-north")
        frame = terminal.until("Connection lost")
        assert frame[0].startswith("✖ LOST")
        assert any("azure-north" in line for line in frame), "what was known stays"
        terminal.until("Connection refused")
        again = World(made_up.state(started_at=made_up.NOW - 2, version="0.2.0"))
        with served(again, port):
            frame = terminal.until("The proxy was restarted.")
            assert "llmproxy 0.2.0  up 2s" in frame[0]
            assert not any("Connection lost" in line for line in frame)
            terminal.press("q")
            assert terminal.ended() == 0


@pytest.mark.slow
def test_silence_is_told():
    world = World()
    with served(world) as root, Terminal("top", "--url", root) as terminal:
        terminal.until("azure-north")
        world.silent = True
        frame = terminal.until("The proxy has sent nothing for")
        assert frame[0].startswith("✖ SILENT")


def test_one_group_alone():
    world = World(made_up.state(made_up.ill(), status="degraded"))
    arguments = ("top", "--group", "gpt-4.1-mini")
    with served(world) as root, Terminal(*arguments, "--url", root) as terminal:
        frame = terminal.until("azure-west")
        assert "gpt-4.1-mini" in frame[0]
        assert not any("text-embedding" in line or "no_endpoint" in line for line in frame)
        assert "/admin/history?span=15m&group=gpt-4.1-mini" in world.asked
        world.history = {"step_s": 5, "points": [made_up.point(1, calls=10_000)]}
        world.new_points = [made_up.point(180)]
        terminal.until("most 2,000/s")


@pytest.mark.parametrize("environ", [{}, {"LLMPROXY_ADMIN_KEY": "wrong"}], ids=["none", "wrong"])
def test_without_the_key_it_says_one_line(environ):
    with (
        served(World(key=KEY)) as root,
        Terminal("top", "--url", root, environ=environ) as terminal,
    ):
        assert terminal.ended() == 2
        assert ENTER not in terminal.written
        assert "answered 401: This is not the admin_key." in unwrapped(terminal)


def test_with_the_key_it_shows():
    environ = {"LLMPROXY_ADMIN_KEY": KEY}
    with (
        served(World(key=KEY)) as root,
        Terminal("top", "--url", root, environ=environ) as terminal,
    ):
        terminal.until("azure-north")


def test_a_refusal_later_ends_it_with_its_reason():
    world = World()
    with served(world) as root, Terminal("top", "--url", root) as terminal:
        terminal.until("azure-north")
        world.refusal = (403, "Only from this machine.")
        world.stopped = True
        assert terminal.ended() == 2
        assert terminal.restored()
        assert "answered 403: Only from this machine." in unwrapped(terminal)


@pytest.mark.parametrize(
    ("path", "refusal", "status", "said"),
    [
        ("", (403, "Only from this machine."), 2, "answered 403: Only from this machine."),
        ("", (502, "starting"), 1, "answered 502: starting"),
        ("/other", None, 2, "sends no events. Is it an LLMProxy?"),
        ("/nowhere", None, 2, "answered 404"),
    ],
    ids=["forbidden", "in front of nothing", "another server", "not here"],
)
def test_what_does_not_tell_is_said_in_one_line(path, refusal, status, said):
    with (
        served(World(refusal=refusal)) as root,
        Terminal("top", "--url", root + path) as terminal,
    ):
        assert terminal.ended() == status
        assert said in unwrapped(terminal)
        assert ENTER not in terminal.written


def test_no_proxy_is_one_line():
    with Terminal("top", "--url", f"http://127.0.0.1:{free_port()}") as terminal:
        assert terminal.ended() == 1
        assert "Is it running?" in unwrapped(terminal)
        assert len(terminal.said().split("\n")) == 1


def test_a_group_that_is_not_there_is_told_with_those_that_are():
    with (
        served(World()) as root,
        Terminal("top", "--url", root, "--group", "gpt-5") as terminal,
    ):
        assert terminal.ended() == 2
        assert "There is no group 'gpt-5'. There are: gpt-4.1, gpt-4.1-mini." in unwrapped(terminal)


def test_no_colour_where_none_is_wanted():
    environ = {"NO_COLOR": "1"}
    with served(World()) as root, Terminal("top", "--url", root, environ=environ) as terminal:
        terminal.until("azure-north")
        assert "\x1b[32m" not in terminal.written


def test_a_terminal_that_can_only_print_is_told_of_once():
    with Terminal("top", environ={"TERM": "dumb"}) as terminal:
        assert terminal.ended() == 2
        assert "llmproxy top --once" in unwrapped(terminal)


def unwrapped(terminal):
    return " ".join(terminal.said().split())
