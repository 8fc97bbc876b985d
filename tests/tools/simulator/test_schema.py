"""A value made from a schema satisfies it, by pydantic, which wrote the schema."""

import datetime
import enum
import uuid
from typing import Annotated, Literal

import pydantic
import pytest

from llmproxy.tools.simulator.schema import instance_of


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Tree(pydantic.BaseModel):
    label: str
    left: "Tree | None"
    children: list["Tree"]


class Chain(pydantic.BaseModel):
    next: "Chain | None"
    value: Annotated[int, pydantic.Field(gt=3)]


TYPES = [
    int,
    bool,
    float,
    None,
    list[str],
    dict[str, int],
    Colour,
    Literal["a", "b"],
    Literal[7],
    int | str,
    str | None,
    datetime.date,
    datetime.datetime,
    datetime.time,
    datetime.timedelta,
    uuid.UUID,
    pydantic.AnyUrl,
    Annotated[str, pydantic.Field(min_length=40)],
    Annotated[str, pydantic.Field(max_length=3)],
    Annotated[int, pydantic.Field(ge=5, le=6)],
    Annotated[float, pydantic.Field(le=-4)],
    Annotated[list[int], pydantic.Field(min_length=3)],
    Annotated[list[int], pydantic.Field(max_length=0)],
    Tree,
    Chain,
]


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_a_made_value_satisfies_its_schema(type_):
    adapter = pydantic.TypeAdapter(type_)
    adapter.validate_python(instance_of(adapter.json_schema()), strict=False)


def test_a_default_is_used():
    schema = {"type": "object", "properties": {"city": {"type": "string", "default": "Oslo"}}}
    assert instance_of(schema) == {"city": "Oslo"}


def test_a_dangling_reference_gives_a_string():
    assert instance_of({"$ref": "#/$defs/missing"}) == "a value"
