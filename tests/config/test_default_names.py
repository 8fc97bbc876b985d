"""An endpoint without a name gets one: its host, numbered where two are equal."""

from hypothesis import given, settings
from hypothesis import strategies as st

from llmproxy.config import ModelGroup

HOSTS = st.sampled_from(["https://h/", "https://h-2/", "https://i:1/"])
ENTRIES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["h", "h-2", "x"]),
            "params": HOSTS.map(lambda base_url: {"base_url": base_url}),
        },
    ),
    min_size=1,
    unique_by=lambda entry: entry.get("name", id(entry)),
)


@settings(deadline=None)
@given(ENTRIES)
def test_generated_names_are_unique_and_keep_given_ones(entries):
    group = ModelGroup.model_validate({"model_group": "m", "models": entries})
    found = [entry.name for entry in group.models]

    assert len(set(found)) == len(found)
    assert all(entry.get("name", name) == name for entry, name in zip(entries, found, strict=True))
