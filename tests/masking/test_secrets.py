"""Secrets are masked in every way in which a text may write them."""

import base64
import json
import time
from html import escape
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.masking.secrets import Secrets, bare_key

ODD = "pä/ss \"w<o>r\\d' 1+2&3=4"
FORMS = {
    "plain": lambda s: s,
    "JSON": lambda s: json.dumps(s)[1:-1],
    "JSON in UTF-8": lambda s: json.dumps(s, ensure_ascii=False)[1:-1],
    "JSON within JSON": lambda s: json.dumps(json.dumps(s))[3:-3],
    "JSON of PHP": lambda s: json.dumps(s)[1:-1].replace("/", "\\/"),
    "a URL": quote,
    "a URL, all of it": lambda s: quote(s, safe=""),
    "a form": quote_plus,
    "a URL within a URL": lambda s: quote(quote(s, safe=""), safe=""),
    "lower-case hex": lambda s: "".join(f"%{byte:02x}" for byte in s.encode()),
    "only escapes": lambda s: "".join(f"\\u{ord(c):04X}" for c in s),
    "HTML": escape,
    "HTML by numbers": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "Python's repr": lambda s: s.replace("\\", "\\\\").replace("'", "\\'"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", ["sk-ant-0123456789", "gw-pass-Sommer2026", ODD])
def test_a_secret_is_masked_in_each_form(form, secret):
    text = f"before {FORMS[form](secret)} after"

    assert Secrets([secret]).mask_text(text) == "before *** after"


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_is_masked_in_base64_wherever_it_begins(before, encode):
    encoded = encode(f"{before}pass>>>word??".encode()).decode()

    masked = Secrets(["pass>>>word??"]).mask_text(f"Basic {encoded} is wrong")

    left = masked.removeprefix("Basic ").removesuffix(" is wrong")
    assert "***" in left
    begin, _, end = left.partition("***")
    assert len(begin) <= len(before) * 8 // 6 + 1
    assert len(end.rstrip("=")) <= 1


def test_short_secrets_are_masked_as_words_and_tiny_ones_not_at_all():
    secrets = Secrets(["pw12", "1", "on"])

    assert secrets.mask_text("pw12 k=pw12&x k%3Dpw12 'pw12' a\\npw12") == (
        "*** k=***&x k%3D*** '***' a\\n***"
    )
    assert secrets.mask_text("xpw123 1 on") == "xpw123 1 on"


def test_a_secret_within_another_is_no_way_to_read_the_rest():
    assert Secrets(["secret-key", "secret-key-two"]).mask_text("secret-key-two") == "***"


def test_no_representation_holds_a_secret():
    secrets = Secrets(["sk-hidden-key"]) | Secrets(["another-one"])

    assert repr(secrets) == "Secrets(2)"
    assert secrets.mask(b"another-one, sk-hidden-key") == b"***, ***"


@pytest.mark.parametrize(
    ("header", "key"),
    [("Bearer k-1", "k-1"), ("k-1", "k-1"), ("basic dTpw", "dTpw"), ("keyring", "keyring")],
)
def test_the_word_for_a_scheme_is_no_part_of_a_key(header, key):
    assert bare_key(header) == key


@given(st.text(max_size=40), st.text(min_size=8, max_size=20), st.text(max_size=40))
def test_any_text_is_masked_and_the_rest_stays(before, secret, after):
    masked = Secrets([secret]).mask_text(before + secret + after)

    assert secret not in masked.replace("***", "\0")
    assert Secrets([secret]).mask_text("unrelated") == "unrelated" or secret in "unrelated"


@pytest.mark.clock
def test_no_text_takes_long():
    secrets = Secrets(['sk-"proj"-0123456789', "sk-proj-0123456789", "%25%25%25%25"])
    for piece in ("so long % \\ & text ", "\\", "%", "%25", "%5c", "&#0", 'sk-\\"', "ssss"):
        for size in (60_000, 1_000_000):
            body = piece.encode() * (size // len(piece))

            began_at = time.process_time()
            secrets.mask(body)
            assert time.process_time() - began_at < 0.5, piece


def test_a_long_text_is_masked_as_it_is_usually_written():
    long = "x" * 1_000_000
    for form in ("plain", "JSON", "a URL, all of it", "a form"):
        assert Secrets([ODD]).mask_text(long + FORMS[form](ODD)) == long + "***"
