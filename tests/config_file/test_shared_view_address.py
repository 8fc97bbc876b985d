"""Addresses of the shared state in a config: valid and invalid ones."""

import pytest
import yaml

from llmproxy.batteries.config_file import config_from_environment, masked, parse_config
from llmproxy.batteries.settings import shares_state
from tests.config_file.mistakes import settings, told_once

SECRET = "tell-nobody"


def load(*lines, **environ):
    return parse_config(settings(*lines), environ, file="f.yaml").general_settings


def test_without_a_word_an_instance_counts_for_itself():
    settings = load("bind_port: 1")

    assert not shares_state(settings)
    assert (settings.redis_url, settings.redis_host, settings.redis_sentinels) == (None, None, ())
    assert (settings.redis_port, settings.redis_db) == (6379, 0)
    assert (settings.redis_ssl, settings.redis_cluster) == (False, False)
    assert settings.redis_namespace == "llmproxy"


def test_redis_variables_of_other_programs_are_not_read():
    environ = {"REDIS_URL": "redis://h", "REDIS_HOST": "h", "OPENAI_API_KEY": "k"}

    assert not shares_state(config_from_environment(environ).general_settings)
    assert not shares_state(load("bind_port: 1", **environ))


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://h/",
        "rediss://user:p%2Fw@h.example:6380/3",
        "redis://:p@[::1]:6379/0",
        "rediss://h?ssl_cert_reqs=none",
        "unix:///run/valkey.sock",
        "unix://user:p@/run/valkey.sock?db=1",
    ],
)
def test_an_address_may_be_one_url(url):
    settings = load(f"redis_url: '{url}'")

    assert shares_state(settings)
    assert settings.redis_url.get_secret_value() == url


def test_an_address_may_come_in_parts():
    settings = load(
        "redis_host: h",
        "redis_port: ${PORT:-6380}",
        "redis_username: u",
        "redis_password: os.environ/PW",
        "redis_db: 2",
        "redis_ssl: yes",
        "redis_namespace: staging",
        PW="p w",
    )

    assert shares_state(settings)
    assert (settings.redis_host, settings.redis_port, settings.redis_db) == ("h", 6380, 2)
    assert (settings.redis_username, settings.redis_ssl) == ("u", True)
    assert settings.redis_password.get_secret_value() == "p w"
    assert settings.redis_namespace == "staging"


@pytest.mark.parametrize("host", ["h", "h.example", "10.0.0.1", "::1", "my_redis"])
def test_a_host_is_a_name_or_an_address(host):
    assert load(f"redis_host: '{host}'").redis_host == host


def test_sentinels_may_say_where_the_server_is():
    settings = load(
        "redis_sentinels: ['a:26379', b]",
        "redis_sentinel_master: mymaster",
        "redis_username: u",
        "redis_password: p",
        "redis_db: 1",
        "redis_ssl: true",
    )

    assert shares_state(settings)
    assert settings.redis_sentinels == ("a:26379", "b")
    assert settings.redis_sentinel_master == "mymaster"


@pytest.mark.parametrize(
    "address", ["redis_host: h", "redis_url: redis://h:1/0", "redis_url: redis://h?db=0"]
)
def test_one_node_of_a_cluster_is_enough(address):
    assert load(address, "redis_cluster: true", "redis_db: 0").redis_cluster


def test_a_default_beside_a_url_is_no_conflict():
    settings = load(
        "redis_url: redis://h:6380",
        'redis_port: "${PORT:-6379}"',
        "redis_db: 0",
        "redis_ssl: no",
        "redis_cluster: false",
        "redis_sentinels: []",
    )

    assert shares_state(settings)


SENTINELS = "redis_sentinels: ['s:1']"
MASTER = "redis_sentinel_master: m"


@pytest.mark.parametrize(
    ("line", "written", "said"),
    [
        # the URL
        (6, ["redis_url: ''"], "redis_url: found a URL that is empty"),
        (6, ["redis_url: h"], "Begin it with rediss:// (TLS), redis:// or unix://"),
        (6, ["redis_url: http://h"], "found an address that is not a Redis URL."),
        (6, ["redis_url: valkey://h"], "found an address that is not a Redis URL."),
        (6, ["redis_url: redis://"], "found a URL without a host."),
        (6, ["redis_url: redis://h:x"], "found a URL with an impossible host or port."),
        (6, ["redis_url: redis://h:99999"], "found a URL with an impossible host or port."),
        (6, ["redis_url: 'redis://:a/b@h'"], "a URL with an impossible host or port. Write"),
        (6, ["redis_url: 'redis://:a#b@h'"], "in a password, / is %2F and # is %23."),
        (6, ["redis_url: 'redis://h/0#b'"], "found a URL with a fragment behind #."),
        (6, ["redis_url: redis://h/zero"], "expected a database number"),
        (6, ["redis_url: redis://h/0/1"], "expected a database number"),
        (6, ["redis_url: unix://"], "found unix:// without a path."),
        (6, ["redis_url: 'redis://a b'"], "has a space"),
        (6, ["redis_url: 5"], "redis_url: expected a string, found a number (not shown)"),
        # the parts
        (6, ["redis_host: redis://h"], "redis_host: found a URL. Write it as redis_url."),
        (6, ["redis_host: 'h:6379'"], "found a host with a port. Move the port to redis_port."),
        (6, ["redis_host: ''"], "expected a host."),
        (6, ["redis_host: a b"], "expected a host."),
        (7, ["redis_host: h", "redis_port: 0"], "redis_port: expected at least 1, found 0."),
        (7, ["redis_host: h", "redis_port: 65536"], "redis_port: expected at most 65535"),
        (7, ["redis_host: h", "redis_db: -1"], "redis_db: expected at least 0, found -1."),
        (7, ["redis_host: h", "redis_ssl: maybe"], "redis_ssl: expected true or false"),
        (7, ["redis_host: h", "redis_password: ''"], "redis_password: found an empty password."),
        (7, ["redis_host: h", "redis_username: ''"], "redis_username: found an empty string."),
        (6, ["redis_namespace: a{b}"], "found a character other than letters"),
        (6, ["redis_namespace: ''"], "Use 1 to 100 of these, for example llmproxy-staging."),
        # sentinels
        (6, [SENTINELS], "found redis_sentinels without redis_sentinel_master. Add"),
        (6, [MASTER], "found redis_sentinel_master without redis_sentinels. Add redis_sentinels"),
        (6, ["redis_sentinels: ['h:x']", MASTER], "[0]: expected a host and a"),
        (6, ["redis_sentinels: ['h:0']", MASTER], "expected a host and a port."),
        (6, ["redis_sentinels: ['h:65536']", MASTER], "expected a host and a port."),
        (6, ["redis_sentinels: ['']", MASTER], "Write host:26379."),
        (6, ["redis_sentinels: ['redis://h:1']", MASTER], "Write host:26379."),
        (6, ["redis_sentinels: h:26379", MASTER], "redis_sentinels: expected a list"),
        # one address only
        (7, ["redis_url: redis://h", "redis_host: i"], "found both redis_url and redis_host. Keep"),
        (
            7,
            ["redis_url: redis://h", "redis_password: p"],
            "found both redis_url and redis_password. Write it in redis_url: rediss://user:passw",
        ),
        (7, ["redis_url: redis://h", "redis_username: u"], "found both redis_url and redis_user"),
        (7, ["redis_url: redis://h", "redis_port: 6380"], "found both redis_url and redis_port."),
        (7, ["redis_url: redis://h", "redis_db: 1"], "found both redis_url and redis_db."),
        (7, ["redis_url: redis://h", "redis_ssl: true"], "found both redis_url and redis_ssl."),
        (7, ["redis_url: redis://h", SENTINELS, MASTER], "found both redis_url and redis_sent"),
        (6, ["redis_host: h", SENTINELS, MASTER], "found both redis_sentinels and redis_host."),
        (6, ["redis_port: 1", SENTINELS, MASTER], "Their own ports stand behind their hosts."),
        # no address
        (6, ["redis_port: 6380"], "found redis_port without an address. Add redis_host, or"),
        (6, ["redis_username: u"], "found redis_username without an address."),
        (6, ["redis_password: p"], "found redis_password without an address."),
        (6, ["redis_db: 1"], "found redis_db without an address."),
        (6, ["redis_ssl: true"], "found redis_ssl without an address."),
        (6, ["redis_cluster: true"], "found redis_cluster without an address."),
        # clusters
        (7, ["redis_host: h", "redis_db: 1", "redis_cluster: on"], "a database in a cluster."),
        (6, ["redis_url: redis://h/1", "redis_cluster: on"], "Remove its number: there is only 0."),
        (6, ["redis_url: 'redis://h?db=1'", "redis_cluster: on"], "found a database in a cluster."),
        (6, ["redis_url: unix:///s", "redis_cluster: on"], "found a socket's path, but a cluster"),
        (8, [SENTINELS, MASTER, "redis_cluster: on"], "both redis_cluster and redis_sentinels."),
    ],
)
def test_an_invalid_address_is_reported_once_with_its_line(line, written, said):
    assert told_once(line, settings(*written), said)


@pytest.mark.parametrize("show", [repr, str, masked, lambda config: config.model_dump_json()])
@pytest.mark.parametrize(
    "written",
    [
        [f"redis_url: 'rediss://user:{SECRET}@h/0'"],
        [f"redis_url: 'rediss://{SECRET}@h/0'"],
        [f"redis_url: 'rediss://h/0?password={SECRET}'"],
        [f"redis_url: 'rediss://h/0?{SECRET}'"],
        [f"redis_url: 'unix://:{SECRET}@/run/s'"],
        ["redis_host: h", f"redis_password: {SECRET}"],
    ],
)
def test_no_view_of_an_address_shows_a_password(show, written):
    shown = show(parse_config(settings(*written), {}, file="f.yaml"))

    assert "redis_namespace" in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6380/1", "redis://h:6380/1"),
        ("rediss://user:p@h:1/0", "rediss://***@h:1/0"),
        ("unix:///run/s?db=2", "unix:///run/s?db=2"),
        ("unix://:p@/run/s", "unix://***@/run/s"),
        ("redis://h?password=p&db=1", "redis://h?password=***&db=1"),
        ("redis://h?p", "redis://h?***"),
        ("redis://h/?", "redis://h/"),
        ("redis://$${u@h", "redis://***@h"),
        ("redis://h?$${p=1", "redis://h?$${p=***"),
    ],
)
def test_the_masked_config_says_where_the_server_is(url, shown):
    once = masked(parse_config(settings(f"redis_url: '{url}'"), {}, file="f.yaml"))

    assert yaml.safe_load(once)["general_settings"]["redis_url"] == shown
    assert masked(parse_config(once, {}, file="again.yaml")) == once


def test_an_address_in_a_variable_that_is_not_set_is_told_once():
    assert told_once(6, settings("redis_url: os.environ/NOT_SET"), "NOT_SET is not set")
