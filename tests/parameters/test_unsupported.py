"""`drop_unsupported`: what vendors refuse is dropped, and `llmproxy check` says where it is not."""

import json

import pytest

from llmproxy.batteries.parameters import mixed_groups, with_edits
from llmproxy.cli import main
from llmproxy.config import Config
from llmproxy.providers import endpoints_of

SAMPLING = {"temperature": 0, "top_p": 1, "logit_bias": {}, "top_logprobs": 2, "logprobs": True}


def config_of(*models, **others):
    groups = [{"model_group": "gpt-4.1", "models": list(models), **others}]
    groups.append({"model_group": "other", "models": [{"model": "gpt-4.1-mini"}]})
    return Config.model_validate({"model_groups": groups})


def sent_to(entry, members):
    config = config_of({"drop_unsupported": True, **entry})
    (endpoint,) = with_edits(config, endpoints_of(config))["gpt-4.1"]
    return json.loads(endpoint.edit(json.dumps(members).encode())[0])


def azure(deployment):
    params = {"azure_endpoint": "https://r.openai.azure.com", "api_version": "2024-10-21"}
    return {"model": deployment, "params": params}


@pytest.mark.parametrize(
    "entry",
    [
        *(
            {"model": name}
            for name in ("o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5-nano")
        ),
        azure("o3"),
        {"model": "o3", "provider": "azure", "params": {"base_url": "https://r/openai/v1"}},
    ],
)
def test_a_reasoning_model_gets_no_sampling_and_its_own_output_bound(entry):
    sent = sent_to(entry, {**SAMPLING, "n": 1, "max_tokens": 5})
    assert sent == {"n": 1, "max_completion_tokens": 5}


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-5-chat-latest", "gpt-5.1", "o3-deep-research"])
def test_other_models_get_all_parameters(model):
    assert sent_to({"model": model}, SAMPLING) == SAMPLING


def test_groq_gets_no_log_probabilities():
    sent = sent_to({"provider": "groq"}, {**SAMPLING, "max_tokens": 5})
    assert sent == {"temperature": 0, "top_p": 1, "max_tokens": 5}


def test_what_the_entry_says_of_a_parameter_counts():
    entry = {"model": "o3", "defaults": {"temperature": 1}, "drop": ["max_tokens"]}
    assert sent_to(entry, {"max_tokens": 5, "top_p": 1}) == {"temperature": 1}


def warnings(*models, **others):
    config = config_of(*models, **others)
    return list(mixed_groups(config, endpoints_of(config)))


def test_an_endpoint_that_refuses_what_its_neighbour_takes_is_warned_of():
    groq = {"name": "groq", "provider": "groq"}
    (warning,) = warnings({"model": "gpt-4.1"}, groq)
    assert warning == (
        "Endpoint 'groq' of 'gpt-4.1' refuses logit_bias, logprobs, top_logprobs: calls of "
        "'gpt-4.1' with one of them fail there. Add drop_unsupported: true to it."
    )
    for key in ("fallbacks", "context_window_fallbacks", "content_filter_fallbacks"):
        assert len(warnings(groq, **{key: ["other"]})) == 1
    dropped = ["logit_bias", "logprobs", "top_logprobs"]
    assert not warnings({"model": "gpt-4.1"}, {**groq, "drop_unsupported": True})
    assert not warnings({"model": "gpt-4.1"}, {**groq, "drop": dropped})
    assert not warnings(groq, {**groq, "name": "groq-2"})


def test_check_prints_the_warning(tmp_path, capsys):
    file = tmp_path / "llmproxy.yaml"
    file.write_text(
        "model_groups:\n- model_group: m\n"
        "  models:\n  - {model: gpt-4.1}\n  - {model: o3, name: o}\n"
    )
    assert main(["check", str(file)]) == 0
    assert "Endpoint 'o' of 'm' refuses frequency_penalty" in capsys.readouterr().err
