"""What ships for Grafana and Prometheus asks for metrics and labels that there are."""

import json
import re
from pathlib import Path

import pytest
import yaml

from llmproxy.batteries.admin.stats.metrics.catalogue import METRICS

OPS = Path(__file__).parents[2] / "ops"
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
SERIES = {
    metric.name + suffix: {*metric.labels, *(["le"] if suffix == "_bucket" else [])}
    for metric in METRICS.values()
    for suffix in SUFFIXES[metric.kind]
}
PANELS = json.loads((OPS / "grafana.json").read_text(encoding="utf-8"))["panels"]
RULES = yaml.safe_load((OPS / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
EXPRESSIONS = [
    *(target["expr"] for panel in PANELS for target in panel.get("targets", ())),
    *(rule["expr"] for rule in RULES),
]


def unknown(expression):
    """Names and labels of an expression that no metric has."""
    found = []
    names = re.findall(r"llmproxy_\w+", expression)
    for name in names:
        if name not in SERIES:
            found.append(name)
    for name, inside in re.findall(r"(llmproxy_\w+)\{([^}]*)\}", expression):
        labels = re.findall(r"(\w+)\s*[=!]~?", inside)
        found += [label for label in labels if label not in SERIES.get(name, ())]
    common = set.union(*(SERIES.get(name, set()) for name in names)) if names else set()
    for inside in re.findall(r"by \(([^)]*)\)", expression):
        found += [label for label in re.split(r"[, ]+", inside) if label not in common]
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_and_label_that_is_asked_for_is_there(expression):
    assert "llmproxy_" in expression
    assert not unknown(expression)


@pytest.mark.parametrize(
    ("expression", "unknown_names"),
    [
        ("rate(llmproxy_call_total[5m])", ["llmproxy_call_total"]),
        ("llmproxy_workers{group='x'}", ["group"]),
        ("sum by (endpoint) (llmproxy_calls_waiting)", ["endpoint"]),
        ("llmproxy_call_duration_seconds", ["llmproxy_call_duration_seconds"]),
    ],
)
def test_a_mistake_in_an_expression_would_be_seen(expression, unknown_names):
    assert unknown(expression) == unknown_names


def test_every_label_in_a_legend_or_a_text_is_one_of_its_expression():
    for panel in PANELS:
        for target in panel.get("targets", ()):
            labels = re.findall(r"{{(\w+)}}", target["legendFormat"])
            assert all(label in target["expr"] or _has(target["expr"], label) for label in labels)
    for rule in RULES:
        for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
            assert label in rule["expr"] or _has(rule["expr"], label), rule["alert"]


def _has(expression, label):
    """Whether what is asked for has it, and no `by` takes it away."""
    names = re.findall(r"llmproxy_\w+", expression)
    return " by (" not in expression and all(label in SERIES[name] for name in names)


def test_states_that_alerts_ask_for_are_states_that_there_are():
    asked_for = re.findall(r'state="([\w-]+)"', str([rule["expr"] for rule in RULES]))
    assert asked_for
    assert set(asked_for) <= {
        *("ok", "full", "cooling", "open", "half-open", "misconfigured", "drained")
    }


def test_every_alert_says_what_to_do_and_how_grave_it_is():
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "what_to_do"}


def test_no_two_panels_lie_over_each_other():
    taken = set()
    for panel in PANELS:
        place = panel["gridPos"]
        fields = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not fields & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= fields
