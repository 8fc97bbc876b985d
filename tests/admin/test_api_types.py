"""The types that the dashboard's scripts are checked against are those of the API's models."""

import re
from pathlib import Path

import pytest

from llmproxy.batteries.admin.stats import (
    certificate,
    database,
    history,
    levels,
    marks,
    slowness,
    state,
    status,
    summary,
    traces,
)

TEXT = Path("tools/js/api.d.ts").read_text(encoding="utf-8")
INTERFACES = dict(re.findall(r"interface (\w+) \{\n(.*?)\n\}", TEXT, re.DOTALL))
MODELS = {
    model.__name__: model
    for model in (
        certificate.TlsView,
        database.DatabaseView,
        history.HistoryPoint,
        levels.LimitView,
        levels.LimitsView,
        marks.Mark,
        slowness.SlowView,
        state.CacheView,
        state.ConfigView,
        state.EndpointView,
        state.GroupView,
        state.LostView,
        state.ProxyView,
        state.StoreView,
        status.SharedStateView,
        summary.RecentStats,
        summary.TotalStats,
        traces.CallTrace,
        traces.TraceStep,
    )
}


def test_each_interface_belongs_to_a_model():
    assert set(INTERFACES) == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_an_interface_has_the_fields_of_its_model(name):
    fields = re.findall(r"^  (\w+): (.*);$", INTERFACES[name], re.MULTILINE)
    assert [field for field, _ in fields] == list(MODELS[name].model_fields)
    schema = MODELS[name].model_json_schema(mode="serialization")["properties"]
    nullable = {
        field
        for field, described in schema.items()
        if {"type": "null"} in described.get("anyOf", [])
    }
    # Calls without an id are not shown.
    assert {field for field, kind in fields if "null" in kind} == nullable - {"id"}
