"""Findings of this machine that depend on facts alone, or on files."""

from pathlib import Path

import pytest

from llmproxy.batteries.config_file import holds_secret
from llmproxy.batteries.settings import FullSettings
from llmproxy.tools.doctor.machine import (
    Kept,
    certificate_fault,
    disk_space,
    few_files,
    kept_folders,
    readable_secrets,
)
from tests.config_file.mistakes import entry, settings
from tests.support.certificates import Authority


def certificate(folder, **options):
    """The files of a certificate and its key."""
    Authority(folder).server_context("proxy.example", **options)
    (file,) = folder.glob("proxy.example*.pem")
    return str(file)


def test_a_certificate_that_clients_can_use_has_no_fault(tmp_path):
    file = certificate(tmp_path)

    assert certificate_fault(file, file) is None


def test_an_expired_certificate_is_told(tmp_path):
    file = certificate(tmp_path, expired=True)

    assert certificate_fault(file, file) == "expired"


def test_a_key_of_another_certificate_is_told(tmp_path):
    other = tmp_path / "other"
    other.mkdir()

    why = certificate_fault(certificate(tmp_path), certificate(other))

    assert "MISMATCH" in why


def test_a_certificate_that_is_not_there_is_told():
    assert "No such file" in certificate_fault("/not/there.pem", "/not/there.key")


@pytest.mark.parametrize(
    ("limit", "wanted", "is_few"),
    [(1024, None, True), (4096, None, False), (300, 100, False), (299, 100, True)],
)
def test_the_limit_of_files_is_judged_by_the_calls_at_once(limit, wanted, is_few):
    given = FullSettings() if wanted is None else FullSettings(max_in_flight=wanted)

    assert bool(list(few_files(given, limit))) == is_few


def test_only_a_file_that_others_may_read_is_told(tmp_path):
    file = tmp_path / "c.yaml"
    file.touch()
    for mode, told in ((0o600, False), (0o640, False), (0o644, True)):
        file.chmod(mode)

        assert bool(list(readable_secrets(file, has_secrets=True))) == told
        assert not list(readable_secrets(file, has_secrets=False))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (entry("params: {api_key: sk-1}"), True),
        (entry("params: {api_key: os.environ/KEY}"), False),
        (entry("params: {api_key: '${KEY}'}"), False),
        (settings("redis_url: redis://h:6379"), False),
        (settings("redis_url: redis://:pw@h:6379"), True),
        (settings("redis_url: 'redis://:${PW}@h:6379'"), False),
        (settings("callers: [{name: a, key_sha256: abc}]"), False),
        (settings("admin_key: secret"), True),
        (settings("keys_required: true", "metrics_need_key: false"), False),
        (settings("tls: {cert: /etc/c.pem, key: /etc/k.pem}"), False),
        (settings("tls: {cert: /etc/c.pem, key: '-----BEGIN PRIVATE KEY-----'}"), True),
        (entry("max_output_tokens: 100000"), False),
        (entry("rename: {max_tokens: max_completion_tokens}"), False),
        ("", False),
    ],
)
def test_a_secret_is_one_that_the_file_itself_holds(text, holds):
    assert holds_secret(text) == holds


def test_the_folders_are_those_of_what_grows(tmp_path):
    given = FullSettings.model_validate(
        {
            "cache": True,
            "cache_params": {"type": "disk", "path": "/c/answers"},
            "database_url": "/d/calls.sqlite",
            "state_file": "/s/state.sqlite",
        }
    )

    kept = {str(place.folder): place.key for place in kept_folders(given, {"HOME": "/h"})}

    assert kept["/c"] == "cache_params.path"
    assert kept["/s"] == "state_file"
    assert "/d" in kept


def test_a_folder_that_is_not_there_yet_is_judged_by_its_parent(tmp_path):
    assert list(disk_space(Kept(Path(tmp_path / "a" / "b"), "x", "y"))) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_file_system_without_space_is_told():
    (finding,) = disk_space(Kept(Path("/proc"), "the cache", "cache_params.path"))

    assert finding.code == "disk_full"
    assert "0 MiB are free in /proc" in finding.cause
