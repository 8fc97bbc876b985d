"""Whose word about the client's address is taken."""

import pytest

from llmproxy.batteries.front.forwarded import ForwardedClients
from llmproxy.batteries.front.networks import Networks

TRUSTED = ("10.0.0.0/8", "fd00::/8", "127.0.0.1", "unix")


def client(peer, *values, header="x-forwarded-for", trusted=TRUSTED, other=()):
    forwarded = ForwardedClients(Networks(trusted), header)
    headers = [(header.encode(), value.encode()) for value in values]
    return forwarded.client_of([(b"host", b"x"), *headers, *other], peer)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], "10.0.0.1"),
        (["203.0.113.7"], "203.0.113.7"),
        (["203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        (["203.0.113.7", "10.0.0.2"], "203.0.113.7"),  # two lines are one list
        (["198.51.100.9, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),  # the left may be invented
        (["10.0.0.9, 10.0.0.2"], "10.0.0.9"),  # a client inside
        (["203.0.113.7:51234"], "203.0.113.7"),
        (["[2001:db8::7]:51234"], "2001:db8::7"),
        (["2001:db8::7"], "2001:db8::7"),
        (["::ffff:203.0.113.7"], "203.0.113.7"),
        (["  203.0.113.7  "], "203.0.113.7"),
    ],
)
def test_the_client_is_the_last_that_is_no_trusted_proxy(values, found):
    assert client("10.0.0.1", *values) == found


@pytest.mark.parametrize("peer", ["203.0.113.50", "2001:db8::1", "", "11.0.0.1", "::1"])
def test_of_an_untrusted_peer_the_header_changes_nothing(peer):
    assert client(peer, "127.0.0.1") == peer
    assert client(peer, "for=127.0.0.1", header="forwarded") == peer


@pytest.mark.parametrize(
    "value",
    [
        "", ",", ", ,", "unknown", "_hidden", "-", "localhost", "203.0.113.7 evil", "203.0.113",
        "203.0.113.7.8", "0x7f.1", "2130706433", "010.0.0.9", "fe80::1%eth0", "[::1", "::1]",
        "[10.0.0.2", "uid:0", "203.0.113.7:x", "203.0.113.7:123456", "1" * 5000, "\u00b2",
        "203.0.113.7\x00", "a, unknown",
    ],
)  # fmt: skip
def test_what_is_no_address_names_nobody(value):
    assert client("10.0.0.1", value) == "10.0.0.1"
    assert client("10.0.0.1", f"{value}, 10.0.0.2") == "10.0.0.2"


def test_another_machine_cannot_say_that_its_client_is_on_this_one():
    assert client("10.0.0.1", "127.0.0.1") == "10.0.0.1"
    assert client("10.0.0.1", "::1") == "10.0.0.1"
    assert client("10.0.0.1", "::ffff:127.0.0.1") == "10.0.0.1"
    assert client("127.0.0.1", "127.0.0.1") == "127.0.0.1"
    assert client("127.0.0.1", "127.0.0.2, 10.0.0.3") == "10.0.0.3"


def test_a_proxy_at_a_unix_socket_is_trusted_only_if_it_is_listed():
    assert client("uid:33", "203.0.113.7") == "203.0.113.7"
    assert client("uid:33", "203.0.113.7", trusted=("10.0.0.0/8",)) == "uid:33"


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["for=203.0.113.7"], "203.0.113.7"),
        (["For=203.0.113.7;proto=https;by=10.0.0.1"], "203.0.113.7"),
        (['proto=https; for="[2001:db8::7]:4711"'], "2001:db8::7"),
        (["for=198.51.100.9, for=203.0.113.7, for=10.0.0.2"], "203.0.113.7"),
        (["for=unknown"], "10.0.0.1"),
        (["for=_hidden, for=10.0.0.2"], "10.0.0.2"),
        (["proto=https"], "10.0.0.1"),
        (["for=203.0.113.7;for=127.0.0.1"], "10.0.0.1"),
        (['for="203.0.113.7'], "10.0.0.1"),
        (["xfor=203.0.113.7"], "10.0.0.1"),
    ],
)
def test_forwarded_is_read_as_rfc_7239_has_it(values, found):
    assert client("10.0.0.1", *values, header="forwarded") == found


def test_only_the_header_of_the_config_is_read():
    forged = [(b"forwarded", b"for=198.51.100.9"), (b"x-real-ip", b"198.51.100.9")]
    assert client("10.0.0.1", "203.0.113.7", other=forged) == "203.0.113.7"
    assert client("10.0.0.1", other=forged) == "10.0.0.1"


@pytest.mark.parametrize(
    "host",
    [
        '"a, for=9.9.9.9;y=b"', '"a,for=9.9.9.9"', '"a;for=9.9.9.9;b"', '"\\", for=9.9.9.9;y=\\""',
        '"a\\\\"', '"for=9.9.9.9"', '",for=9.9.9.9,"', '";for=9.9.9.9"',
    ],
)  # fmt: skip
def test_what_a_proxy_quotes_names_nobody(host):
    """A client can put anything into its Host, and its proxy into `host=`."""
    for value in (f"for=203.0.113.7;host={host}", f"host={host};for=203.0.113.7"):
        for whole in (value, f"for=1.2.3.4, {value}", f"{value}, for=10.0.0.2"):
            assert client("10.0.0.1", whole, header="forwarded") == "203.0.113.7"


@pytest.mark.parametrize(
    "sent", ['"', 'for="', 'for="x, for=9.9.9.9', "\\", '\\"', 'a="b\\', ';;"']
)
def test_what_a_client_wrote_before_hides_it_from_no_proxy(sent):
    assert client("10.0.0.1", f"{sent}, for=203.0.113.7", header="forwarded") == "203.0.113.7"
    assert client("10.0.0.1", f"{sent}, 203.0.113.7") == "203.0.113.7"


@pytest.mark.parametrize(
    ("header", "hop"), [("forwarded", "for=10.0.0.2"), ("x-forwarded-for", "10.0.0.2")]
)
def test_no_list_is_read_without_end(header, hop):
    """Each would be believed; the event loop would stand still meanwhile."""
    long = ", ".join(
        ["for=203.0.113.7" if header == "forwarded" else "203.0.113.7"] + [hop] * 5_000
    )
    assert client("10.0.0.1", long, header=header) == "10.0.0.2"
    for marks in ('"' * 60_000, "," * 60_000, "\\" * 60_000, ";" * 60_000):
        assert client("10.0.0.1", marks, header=header) == "10.0.0.1"
