"""Any config file gives a Config or a ConfigError with problems."""

import re

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from llmproxy.batteries.config_file import config_from_environment, masked, parse_config
from llmproxy.batteries.settings import FullConfig
from llmproxy.errors import ConfigError
from tests.support.examples import examples

WORDS = [
    *("model_groups", "model_group", "models", "model", "name", "weight", "tier", "provider"),
    *("params", "api_key", "base_url", "timeout", "default_headers", "default_query", "<<"),
    *("azure_endpoint", "azure_deployment", "api_version", "azure_ad_token_provider", "limits"),
    *("general_settings", "bind_port", "num_retries", "timeouts", "connect_s", "strategy", "*"),
    *(
        "https://h/v1",
        "${A}",
        "${B:-1}",
        "os.environ/C",
        "${",
        "weighted",
        "cli",
        "m",
        "",
        "redis_url",
    ),
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(WORDS)
)
KEYS = st.sampled_from(WORDS) | st.text(max_size=8)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def like(*known, **fields):
    """Generate mappings with valid values or junk for the known keys, and sometimes other keys."""
    optional = {name: value | JUNK for name, value in fields.items()}
    return st.fixed_dictionaries({name: optional.pop(name) for name in known}, optional=optional)


PARAMS = like(
    api_key=st.sampled_from(["k", "", "${A}"]),
    base_url=st.sampled_from(["https://h/v1", "http://u@h", "x", "http://[", "https://h:x"]),
    azure_endpoint=st.just("https://r.example"),
    api_version=st.just("v"),
    azure_ad_token_provider=st.just("cli"),
    default_headers=st.dictionaries(st.text(max_size=5), SCALARS, max_size=3),
    default_query=st.dictionaries(st.text(max_size=5), SCALARS, max_size=3),
)
LIMITS = like(rpm=st.integers(0, 3), tpm=st.just(1), concurrent=st.just("2"))
PRICE = like(input=st.floats(0, 9), output=st.integers(-1, 9), cached_input=st.just(0))
ENTRY = like(
    name=st.sampled_from("ab"),
    weight=st.integers(-1, 3),
    params=PARAMS,
    limits=LIMITS,
    price=PRICE,
)
NAMES = st.lists(st.sampled_from("ab*c"), max_size=3)
GROUP = like(
    "model_group",
    "models",
    model_group=st.sampled_from("ab*"),
    models=st.lists(ENTRY, max_size=3),
    fallbacks=NAMES,
    context_window_fallbacks=NAMES,
    content_filter_fallbacks=NAMES,
)
CALLER = like(
    "name",
    name=st.sampled_from("ab"),
    key=st.sampled_from(["k", "l", "", "${A}"]),
    key_sha256=st.sampled_from(["0a" * 32, "0A" * 32, "0a"]),
    limits=LIMITS,
    groups=NAMES,
)
SETTINGS = like(
    queue=like(max_waiting=st.integers(-1, 3), max_wait_s=st.floats(-1, 3)),
    callers=st.lists(CALLER, max_size=3),
    redis_url=st.sampled_from(["redis://h/1", "unix:///s", "h", "redis://u:p@[", "redis://h?db=x"]),
    redis_host=st.sampled_from(["h", "h:1", ""]),
    redis_port=st.sampled_from([6379, "6379", 0, 6380]),
    redis_db=st.sampled_from([0, 1, "0"]),
    redis_ssl=st.sampled_from([True, False, "no", "off", "0", "F", 0.0, "0.0"]),
    redis_cluster=st.sampled_from([True, False, "no", "off", "0", "N", 0.0, "0.0"]),
    redis_sentinels=st.lists(st.sampled_from(["h", "h:1", "h:x"]), max_size=2),
    redis_sentinel_master=st.just("m"),
)
NEARLY = like("model_groups", model_groups=st.lists(GROUP, max_size=3), general_settings=SETTINGS)


def outcome(text):
    """Return a Config or the problems; any other exception fails the test."""
    try:
        return parse_config(text, {"A": "x", "C": "1"}, file="f.yaml")
    except ConfigError as error:
        lines = [problem.line for problem in error.problems]
        assert lines
        assert lines == sorted(lines)
        assert all(1 <= line <= len(re.split("\r\n|\r|\n", text)) for line in lines)
        assert all(problem.found and problem.remedy for problem in error.problems)
        return error


@settings(deadline=None)
@given(JUNK)
def test_any_values_give_a_config_or_problems(junk):
    outcome(yaml.safe_dump(junk, allow_unicode=True))


@examples(300)
@given(NEARLY)
def test_values_that_are_nearly_right_give_a_config_or_problems(config):
    outcome(yaml.safe_dump(config, allow_unicode=True))


@examples(300)
@given(SETTINGS)
def test_settings_that_are_nearly_right_give_a_config_or_problems(general):
    group = {"model_group": "a", "models": [{}]}
    outcome(yaml.safe_dump({"model_groups": [group], "general_settings": general}))


@settings(deadline=None)
@given(st.text(alphabet="abm:_-[]{}&*!|>'\"%@`#$,? \n\t~<1./\x00\ufeff", max_size=60))
def test_any_text_gives_a_config_or_problems(text):
    outcome(text)


@settings(deadline=None)
@given(st.lists(st.sampled_from([*WORDS, ":", "- ", "\n", "  ", "{", "}", "[", "]", "&a", "*a"])))
def test_any_heap_of_yamls_own_pieces_gives_a_config_or_problems(pieces):
    outcome(" ".join(pieces))


VALID_TEXT = st.text("aé${}'\"#: ", min_size=1, max_size=8).map(str.strip).filter(bool)
HIDDEN = st.dictionaries(st.sampled_from(["api-version", "x-a"]), st.sampled_from(["", "$x"]))
VALID_ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "model": VALID_TEXT,
        "weight": st.integers(0, 9),
        "limits": st.fixed_dictionaries({}, optional={"rpm": st.integers(1, 9)}),
        "price": st.fixed_dictionaries({"input": st.floats(0, 9), "output": st.just(1)}),
        "params": st.fixed_dictionaries(
            {},
            optional={"api_key": st.just("k"), "timeout": st.floats(0.1, 9), "project": VALID_TEXT},
        ).flatmap(lambda params: HIDDEN.map(lambda hidden: params | {"default_query": hidden})),
    },
)
VALID_GROUP = st.fixed_dictionaries(
    {"model_group": VALID_TEXT, "models": st.lists(VALID_ENTRY, min_size=1, max_size=3)},
    optional={"strategy": st.sampled_from(["weighted", "least_busy", "latency", "cheapest"])},
)


@settings(deadline=None)
@given(st.lists(VALID_GROUP, min_size=1, max_size=3, unique_by=lambda g: g["model_group"]))
def test_a_config_loads_again_from_its_masked_form(groups):
    shown = masked(FullConfig.model_validate({"model_groups": groups}))

    again = parse_config(shown, {}, file="again.yaml")

    assert masked(again) == shown
    assert [group.model_group for group in again.model_groups] == [g["model_group"] for g in groups]


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                *("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_API_VERSION"),
                *("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT"),
            ]
        ),
        st.sampled_from(["https://h/v1", "k", "", "preview"]) | st.text(max_size=10),
    )
)
def test_any_environment_gives_a_config_or_problems_or_nothing(environ):
    try:
        config = config_from_environment(environ)
    except ConfigError as error:
        assert all(re.search(r"[A-Z_]{9,}", problem.found) for problem in error.problems)
    else:
        assert config is None or config.model_groups[0].model_group == "*"
