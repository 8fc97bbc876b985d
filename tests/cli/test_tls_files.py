"""`llmproxy check` on files of certificates and keys that are wrong."""

import os

import pytest

from tests.support.certificates import Authority
from tests.support.process import LLMPROXY, command
from tests.support.run import bounded


def _changed(pair, *, cert=None, key=None):
    if cert is not None:
        pair[0].write_bytes(cert)
    if key is not None:
        pair[1].write_bytes(key)
    return pair


TEXT = """\
model_groups: [{{model_group: a, models: [{{name: m, params: {{api_key: k}}}}]}}]
general_settings:
  tls:
    cert: {cert}
    key: {key}
{more}"""


async def check(folder, pair, more=""):
    (folder / "c.yaml").write_text(TEXT.format(cert=pair[0], key=pair[1], more=more))
    return await command("check", "c.yaml", cwd=folder)


@bounded()
async def test_every_fault_of_the_files_is_told_with_its_line_and_its_remedy(tmp_path):
    authority = Authority(tmp_path)
    missing = (tmp_path / "no.crt", authority.pair("a", "a.example.com")[1])
    said = await check(tmp_path, missing)
    assert (said.status, said.stderr.startswith("c.yaml:4: ")) == (2, True)
    assert "no.crt does not exist. Check the path" in said.stderr

    said = await check(tmp_path, _changed(authority.pair("b", "b"), cert=b"nothing"))
    assert (said.status, said.stderr.startswith("c.yaml:4: ")) == (2, True)
    assert "found no certificate in" in said.stderr

    truncated = authority.pair("c", "c")
    text = truncated[0].read_bytes()
    said = await check(tmp_path, _changed(truncated, cert=text[:200] + text[-30:]))
    assert said.status == 2, said
    assert "found no certificate in" in said.stderr

    said = await check(tmp_path, authority.pair("d", "d", password=b"secret"))
    assert (said.status, said.stderr.startswith("c.yaml:5: ")) == (2, True)
    assert "is encrypted, and nobody is there to type its password" in said.stderr
    assert "openssl pkey -in" in said.stderr

    other = authority.pair("e", "e")[1].read_bytes()
    said = await check(tmp_path, _changed(authority.pair("f", "f"), key=other))
    assert (said.status, said.stderr.startswith("c.yaml:5: ")) == (2, True)
    assert "is not the one of the certificate" in said.stderr

    said = await check(tmp_path, _changed(authority.pair("g", "g"), key=b"no key"))
    assert "found no private key in" in said.stderr

    (tmp_path / "ca.pem").write_text("nobody")
    good = authority.pair("h", "h")
    said = await check(tmp_path, good, more=f"    client_ca: {tmp_path}/ca.pem\n")
    assert (said.status, said.stderr.startswith("c.yaml:6: ")) == (2, True)
    assert "with the authorities that sign clients' certificates" in said.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="gives the file to another user")
@bounded()
async def test_a_key_that_may_not_be_read_is_told(tmp_path):
    pair = Authority(tmp_path).pair("a", "a")
    pair[1].chmod(0o600)
    os.chown(pair[1], 65534, 65534)
    (tmp_path / "c.yaml").write_text(TEXT.format(cert=pair[0], key=pair[1], more=""))
    # root without its capabilities may read only what its mode allows
    arguments = ("--bounding-set=-all", "--inh-caps=-all", LLMPROXY, "check", "c.yaml")
    said = await command(*arguments, cwd=tmp_path, program="setpriv")
    assert (said.status, said.stderr.startswith("c.yaml:5: ")) == (2, True), said
    assert f"no permission to read {pair[1]}" in said.stderr


@bounded()
async def test_who_gets_in_is_told_where_certificates_are_optional(tmp_path):
    authority = Authority(tmp_path)
    more = f"    client_ca: {authority.file()}\n    client_certificate: optional\n"
    said = await check(tmp_path, authority.pair("a", "a"), more=more)
    assert said.status == 0
    assert "c.yaml:7: tls.client_certificate: it is optional, and no callers" in said.stderr


@pytest.mark.parametrize(
    ("caller", "said"),
    [
        ("{name: a, certificates: [search]}", "which is no name in a certificate"),
        ("{name: a, certificates: ['DNS:*.example.com']}", "There are no patterns"),
        ("{name: a, certificates: ['URI:search']}", "Write URI:spiffe://"),
        ("{name: a, certificates: ['sha256:abc']}", "64 hex digits"),
        ("{name: a, certificates: ['CN:a']}, {name: b, certificates: ['CN:a']}", "another caller"),
    ],
)
@bounded()
async def test_a_caller_with_an_impossible_name_is_told(tmp_path, caller, said):
    authority = Authority(tmp_path)
    more = f"    client_ca: {authority.file()}\n  callers: [{caller}]\n"
    checked = await check(tmp_path, authority.pair("a", "a"), more=more)
    assert checked.status == 2
    assert checked.stderr.startswith("c.yaml:7: ")
    assert said in checked.stderr


@bounded()
async def test_a_name_that_no_client_can_prove_is_told(tmp_path):
    authority = Authority(tmp_path)
    more = "  callers: [{name: a, certificates: ['CN:a']}]\n"
    checked = await check(tmp_path, authority.pair("a", "a"), more=more)
    assert checked.status == 2
    assert "found a certificate without `tls.client_ca`" in checked.stderr
