"""Every nginx server in the documentation hides the operator's paths from clients."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SERVERS = [
    pytest.param(block, id=f"{page.relative_to(DOCS)}-{number}")
    for page in sorted(DOCS.rglob("*.md"))
    for number, block in enumerate(re.findall(r"```nginx\n(.*?)```", page.read_text(), re.DOTALL))
    if re.search(r"^server \{", block, re.MULTILINE)
]


def test_the_documentation_has_nginx_servers() -> None:
    assert SERVERS


@pytest.mark.parametrize("block", SERVERS)
def test_an_nginx_server_hides_the_operators_paths(block: str) -> None:
    hidden = re.search(r"location ~ (\S+) \{ return 404; \}", block)
    assert hidden, "no location answers 404 for the operator's paths"
    for path in (
        "/metrics",
        "/health",
        "/docs",
        "/openapi.json",
        "/admin/spend",
        "/dashboard",
        "//metrics",
    ):
        assert re.search(hidden[1], path), path
    assert not re.search(hidden[1], "/v1/chat/completions")
