"""The licence of all that an installation brings is known and permissive, or says why not."""

import sys
from email.message import Message
from importlib.metadata import distributions
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import licences


def metadata(**said):
    message = Message()
    for name, values in said.items():
        for value in [values] if isinstance(values, str) else values:
            message[name.replace("_", "-")] = value
    return message


def package(name, *, requires=(), extras=(), **said):
    said = said or {"License_Expression": "MIT"}
    return SimpleNamespace(
        name=name,
        version="1.0",
        requires=list(requires),
        metadata=metadata(Provides_Extra=list(extras), **said),
    )


def problems(*installed):
    return list(licences.problems_of(licences.packages_of("app", installed)))


@pytest.mark.parametrize(
    ("said", "licence"),
    [
        ({"License_Expression": "MIT AND PSF-2.0"}, "MIT AND PSF-2.0"),
        ({"License": "3-Clause BSD License"}, "BSD-3-Clause"),
        ({"Classifier": ["License :: OSI Approved :: MIT License"]}, "MIT"),
        (
            {
                "License": "Dual License",
                "Classifier": [
                    "License :: OSI Approved :: BSD License",
                    "License :: OSI Approved :: Apache Software License",
                ],
            },
            "Apache-2.0 OR BSD",
        ),
        ({"License": "see the file"}, None),
        ({"Summary": "says nothing"}, None),
    ],
)
def test_a_licence_is_read_from_whatever_metadata_a_package_has(said, licence):
    assert licences.licence_of(metadata(**said)) == licence


@pytest.mark.parametrize(
    ("expression", "permissive"),
    [
        ("MIT", True),
        ("Apache-2.0 OR (MIT AND BSD-3-Clause)", True),
        ("GPL-3.0-only", False),
        ("MIT AND LGPL-2.1-or-later", False),
        ("Apache-2.0 WITH LLVM-exception", False),
        ("Proprietary", False),
    ],
)
def test_a_licence_is_permissive_if_all_of_it_is(expression, permissive):
    assert licences.is_permissive(expression) is permissive


def test_dependencies_of_dependencies_count_and_extras_are_named():
    installed = [
        package("app", requires=["one", 'two; extra == "more"'], extras=["more"]),
        package("one", requires=["deep", 'other; sys_platform == "win32"']),
        package("two", requires=["deep", "Far_Off[x]"]),
        package("deep"),
        package("far-off", requires=['last; extra == "x"'], extras=["x"]),
        package("last"),
        package("of-no-concern"),
    ]
    assert [(p.name, p.comes_with) for p in licences.packages_of("app", installed)] == [
        ("deep", ("every installation",)),
        ("far-off", ("more",)),
        ("last", ("more",)),
        ("one", ("every installation",)),
        ("two", ("more",)),
    ]


def test_an_unknown_or_other_licence_is_refused_with_what_to_do():
    app = package("app", requires=["silent", "strict", "fine"])
    found = problems(
        app,
        package("silent", License="see the file"),
        package("strict", License_Expression="AGPL-3.0-only"),
        package("fine"),
    )
    assert len(found) == 2
    assert found[0].startswith("silent 1.0 names no licence")
    assert found[1].startswith("strict 1.0 has the licence AGPL-3.0-only")


def test_what_our_own_installation_and_every_extra_bring_may_be_passed_on():
    packages = licences.packages_of("llmproxy-gateway", distributions())
    by_name = {found.name: found for found in packages}
    assert list(licences.problems_of(packages)) == []
    assert by_name["uvicorn"].comes_with == ("every installation",)
    assert "bedrock" in by_name["botocore"].comes_with
    assert "| certifi |" in licences.report("llmproxy-gateway", "1", packages)
