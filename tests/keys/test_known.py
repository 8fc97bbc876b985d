"""What a client is told about its key."""

import pytest

from llmproxy.batteries.callers import TeamRules
from llmproxy.batteries.keys import KnownKeys
from llmproxy.batteries.keys.key import Key, digest_of, new_secret
from llmproxy.batteries.settings import FullSettings
from llmproxy.errors import ClientError, Overload

NOW = 1_800_000_000.0
SECRET = new_secret().encode()


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def known(*, read=True, clock=None, **more):
    keys = KnownKeys(wall=lambda: NOW, clock=clock or Clock())
    keys.table.change({digest_of(SECRET): Key(name="nightly", key="key_1", **more)})
    if read:
        keys.has_read_all()
    return keys


def refusal(keys, secret=SECRET):
    with pytest.raises((ClientError, Overload)) as refused:
        keys.identity_of(secret)
    return refused.value.status, refused.value.code


def test_a_key_is_new_each_time_and_has_32_random_bytes():
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(secret) for secret in made} == {len("sk-llmproxy-") + 43}


def test_a_valid_key_says_who_calls_and_is_noted_as_used():
    keys = known(team="search", expires_at=NOW + 1)
    found = keys.identity_of(SECRET)
    assert (found.name, found.team, found.key) == ("nightly", "search", "key_1")
    assert keys.used == {"key_1": NOW}


def test_a_credential_of_another_kind_is_nobodys_here():
    assert known().identity_of(b"sk-proj-of-a-vendor") is None


def test_a_key_that_was_imported_from_another_gateway_is_known_by_its_digest():
    keys = known()
    keys.table.change({digest_of(b"sk-of-another-gateway"): Key(name="imported", key="key_2")})

    assert keys.identity_of(b"sk-of-another-gateway").name == "imported"
    assert keys.used == {"key_2": NOW}


@pytest.mark.parametrize(
    ("required", "read", "credential", "code"),
    [
        (True, False, b"sk-perhaps-imported", "keys_not_loaded"),
        (True, True, b"sk-perhaps-imported", None),  # others may know it
        (False, False, b"sk-of-a-vendor", None),
        (True, False, b"eyJ-a-token", None),
    ],
)
def test_a_key_that_may_be_imported_is_not_refused_before_all_keys_were_read(
    required, read, credential, code
):
    keys = known(read=read)
    keys.serve(FullSettings(keys_required=required))

    if code is None:
        assert keys.identity_of(credential) is None
    else:
        assert refusal(keys, credential) == (503, code)


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        ({"blocked": True}, "key_blocked", "The key 'nightly' is blocked"),
        ({"expires_at": NOW}, "key_expired", "'nightly' was valid until 2027-01-15 08:00:00 UTC"),
        ({"expires_at": NOW - 1, "replaced": True}, "key_expired", "Use the new one"),
    ],
)
def test_a_key_that_was_valid_once_is_refused_with_the_reason(more, code, says):
    with pytest.raises(ClientError, match=says) as refused:
        known(**more).identity_of(SECRET)
    assert (refused.value.status, refused.value.code) == (401, code)


def test_an_unknown_key_is_refused_as_a_missing_one_is():
    with pytest.raises(ClientError, match="has no valid API key for this proxy"):
        known().identity_of(new_secret().encode())
    assert refusal(known(), new_secret().encode()) == (401, "invalid_api_key")


def test_an_unknown_key_is_asked_to_come_again_while_the_store_is_being_read():
    keys = known(read=False)
    assert keys.identity_of(SECRET).name == "nightly"
    assert refusal(keys, new_secret().encode()) == (503, "keys_not_loaded")


def test_an_unknown_key_may_be_a_new_one_while_the_store_is_away():
    clock = Clock()
    keys = known(clock=clock)
    clock.now += 60
    assert refusal(keys, new_secret().encode()) == (503, "keys_not_loaded")
    keys.has_read_all()
    assert refusal(keys, new_secret().encode()) == (401, "invalid_api_key")


def test_teams_have_another_version_only_when_they_change():
    keys = known()
    keys.serve_teams([TeamRules("search", rpm=5)])
    version = keys.version
    keys.serve_teams([TeamRules("search", rpm=5)])
    assert keys.version == version
    keys.serve_teams([TeamRules("search", rpm=6)])
    assert keys.version > version
    assert keys.team_named("search").rpm == 6
