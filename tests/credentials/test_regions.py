"""`llmproxy check` warns of a region that botocore does not know; it is not refused."""

import pytest

from llmproxy.batteries.credentials.regions import known_regions, unknown_regions
from llmproxy.cli import main
from llmproxy.config import Config
from llmproxy.providers import endpoints_of

KNOWN = frozenset(("us-east-1", "us-west-2", "eu-central-1"))


def warnings_of(*addresses, known=KNOWN):
    models = [{"params": {"base_url": address, "api_key": "k"}} for address in addresses]
    config = Config.model_validate({"model_groups": [{"model_group": "g", "models": models}]})
    return list(unknown_regions(endpoints_of(config), lambda: known))


def bedrock(region):
    return f"https://bedrock-runtime.{region}.amazonaws.com"


def test_a_region_that_is_nearly_right_is_named_with_the_right_one():
    (warning,) = warnings_of(bedrock("us-east-1"), bedrock("us-est-1"))
    assert "'bedrock-runtime.us-est-1.amazonaws.com' of 'g'" in warning
    assert "Did you mean us-east-1 or us-west-2?" in warning


def test_other_addresses_and_a_missing_package_give_no_warning():
    assert warnings_of("https://api.groq.com/openai/v1", bedrock("us-west-2")) == []
    assert warnings_of(bedrock("xx-nowhere-1"), known=frozenset()) == []


def test_botocore_knows_the_regions_of_all_partitions():
    pytest.importorskip("botocore")
    assert {"us-east-1", "us-gov-west-1", "cn-north-1"} <= known_regions()


def test_check_prints_the_warning_and_accepts_the_config(tmp_path, capsys):
    pytest.importorskip("botocore")
    file = tmp_path / "llmproxy.yaml"
    params = f"{{base_url: '{bedrock('us-est-1')}', api_key: k}}"
    file.write_text(f"model_groups:\n  - model_group: g\n    models:\n      - params: {params}\n")
    assert main(["check", str(file)]) == 0
    assert "or us-east-1" in capsys.readouterr().err
