"""The dashboard's files, as the proxy serves them. Their behaviour is tested in tests/browser."""

import re

import pytest

from llmproxy.batteries.admin.pages import FOLDER, NAMES
from tests.support.client import ask
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded

NOWHERE = "http://127.0.0.1:9/v1"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
SENT = sorted(path.name for path in FOLDER.iterdir() if path.suffix in TYPES)


async def got(proxy, path, **options):
    return await ask(proxy.port, path, method="GET", **options)


@bounded()
async def test_the_page_and_each_of_its_files_is_served_with_its_type_and_a_strict_policy():
    async with serve_proxy(config_for(NOWHERE)) as proxy:
        page = await got(proxy, "/dashboard")
        assert page.header("content-type") == "text/html; charset=utf-8"
        named = set(re.findall(r'(?:src|href)="dashboard/([\w.]+)"', page.body.decode()))
        assert named <= {*SENT, *NAMES}
        for name in SENT:
            file = await got(proxy, f"/dashboard/{name}")
            assert file.status == 200
            assert file.body == (FOLDER / name).read_bytes()
            assert file.header("content-type").startswith(TYPES[f".{name.rpartition('.')[2]}"])
            for answer in (file, page):
                assert answer.header("content-security-policy").startswith(POLICY)
                assert "unsafe" not in answer.header("content-security-policy")
                assert answer.header("x-content-type-options") == "nosniff"
                assert answer.header("referrer-policy") == "no-referrer"
                assert answer.header("cache-control") == "no-cache"


@pytest.mark.parametrize("name", NAMES)
@bounded()
async def test_a_page_with_an_address_of_its_own_finds_the_files_of_the_dashboard(name):
    async with serve_proxy(config_for(NOWHERE)) as proxy:
        page = await got(proxy, f"/dashboard/{name}")
        assert page.header("content-type") == "text/html; charset=utf-8"
        assert page.header("content-security-policy").startswith(POLICY)
        named = set(re.findall(r'(?:src|href)="([^"]+)"', page.body.decode()))
        assert {one for one in named if not one.startswith("../dashboard")} == set()
        assert "../dashboard/app.js" in named


@bounded()
async def test_an_unchanged_file_is_not_sent_again():
    async with serve_proxy(config_for(NOWHERE)) as proxy:
        first = await got(proxy, "/dashboard/app.js")
        for known in (first.header("etag"), f'"x", W/{first.header("etag")}'):
            again = await got(proxy, "/dashboard/app.js", headers=[("if-none-match", known)])
            assert (again.status, again.body) == (304, b"")
        other = await got(proxy, "/dashboard/app.js", headers=[("if-none-match", '"x"')])
        assert other.status == 200


@bounded()
async def test_a_trailing_slash_redirects_to_the_page():
    async with serve_proxy(config_for(NOWHERE)) as proxy:
        answer = await got(proxy, "/dashboard/")
        assert answer.status == 307
        assert answer.header("location").endswith("/dashboard")


@pytest.mark.parametrize(
    "name", ["nothing.js", "page.html", "..%2Fpages.py", "%2E%2E%2Fpages.py", "../pages.py"]
)
@bounded()
async def test_no_other_file_is_served(name):
    async with serve_proxy(config_for(NOWHERE)) as proxy:
        answer = await got(proxy, f"/dashboard/{name}")
        assert answer.status == 404
        assert b"APIRouter" not in answer.body


def test_the_files_name_no_other_host_and_read_nothing_as_html():
    for path in FOLDER.iterdir():
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"https?://[\w./]+", text)) <= {"http://www.w3.org/2000/svg"}
        if path.suffix == ".js":
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|eval\(|Function\(", text)
    page = (FOLDER / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|<script>|\son\w+=|\sstyle=", page)


@bounded()
async def test_the_documentation_names_every_path_and_needs_no_other_host_and_no_script():
    async with serve_proxy(config_for(NOWHERE)) as proxy:
        page = await ask(proxy.port, "/docs", method="GET", host="localhost")
        schema = await ask(proxy.port, "/openapi.json", method="GET", host="localhost")
        text = page.body.decode()
        assert page.status == 200
        assert page.header("content-type") == "text/html; charset=utf-8"
        assert "default-src 'none'" in page.header("content-security-policy")
        assert "<script" not in text
        assert "//" not in text
        for path, methods in schema.json["paths"].items():
            for method in methods:
                assert f"<code>{method.upper()} {path}</code>" in text
        for name in schema.json["components"]["schemas"]:
            assert f'id="{name}"' in text


@bounded()
async def test_without_expose_docs_there_is_no_documentation():
    async with serve_proxy(config_for(NOWHERE, expose_docs=False)) as proxy:
        for path in ("/docs", "/openapi.json"):
            assert (await got(proxy, path)).status == 404
