"""The built site is whole: `make site` makes it, `make test-site` runs this."""

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SITE = Path(__file__).resolve().parents[2] / "site"
PAGES = sorted(SITE.rglob("*.html"))
LOADED = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}


class Page(HTMLParser):
    """The ids of a page, its links and what a browser loads for it."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loads = {""}, [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in LOADED and found.get(LOADED[tag]):
            self.loads.append(found[LOADED[tag]])


page_of = cache(Page)


def test_the_site_was_built():
    assert len(PAGES) > 100, "Run `make site` first."


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(SITE)))
def test_every_link_of_a_page_leads_to_a_page_and_a_place_in_it(path):
    for link in page_of(path).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        assert target.is_file(), link
        if target.suffix == ".html":
            assert unquote(parts.fragment) in page_of(target).ids, link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(SITE)))
def test_a_page_loads_nothing_from_another_host(path):
    for address in page_of(path).loads:
        parts = urlsplit(address)
        assert not parts.netloc, address
        assert parts.scheme in ("", "data"), address
        if parts.path and not parts.scheme:
            assert (path.parent / unquote(parts.path)).is_file(), address


def test_no_style_loads_anything_from_another_host():
    styles = [path.read_text("utf-8") for path in (SITE / "_static").rglob("*.css")]
    assert styles
    assert not any("url(http" in style or "@import" in style for style in styles)


def test_the_search_works_without_a_server():
    assert (SITE / "searchindex.js").stat().st_size > 100_000
    loads = page_of(SITE / "search.html").loads
    assert any(address.startswith("searchindex.js") for address in loads)
