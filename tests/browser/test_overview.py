"""The overview of a large proxy: the worst first, and what is healthy folded."""

import re
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import expect

from tests.browser.reading import violations

# 12 groups of 5 endpoints.
SIXTY = {
    f"model-{group:02d}-with-a-long-name": [
        (f"region-{one}-of-{group:02d}", one // 3, one + 1, 600, 200_000, None) for one in range(5)
    ]
    for group in range(12)
}
SICK = ("model-03-with-a-long-name", "region-2-of-03")
OUT = ("open", "connect_failed", "open", 30.0, 40)
CUT = """() => [...document.querySelectorAll('main *')].filter(element => {
    const box = element.getBoundingClientRect();
    return box.width > 1 && box.right > innerWidth + 0.5;
}).map(element => element.outerHTML.slice(0, 80))"""


def groups_of(page):
    return page.locator("tr.group h3").all_text_contents()


def group(page, number):
    return page.get_by_role("button", name=f"model-{number:02d}-with-a-long-name", exact=True)


def query_of(page):
    return parse_qs(urlsplit(page.url).query)


def test_sixty_endpoints_with_one_fault_fit_on_one_screen(visit, world, photo):
    world.house, world.faults = SIXTY, {SICK: OUT}
    page = visit()
    expect(page.locator("#headline")).to_have_text("1 of 60 endpoints is unavailable")
    table = page.locator("table.endpoints")
    for width, height, theme in ((1440, 900, "dark"), (1024, 768, "light")):
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=theme)
        box = table.bounding_box()
        assert box["y"] + box["height"] < height
        assert page.evaluate(CUT) == []
        expect(table.locator("thead")).to_be_in_viewport()
        assert violations(page, "table.endpoints") == []
        photo(page, f"sixty-{theme}-{width}", full=False)
    assert groups_of(page)[0] == SICK[0]
    assert page.locator("tr.endpoint h4").first.text_content() == SICK[1]
    assert len(groups_of(page)) == 4

    page.get_by_role("button", name="Show 8 more healthy groups").press("Enter")
    assert len(groups_of(page)) == 12
    expect(group(page, 4)).to_be_focused()
    group(page, 7).press("Enter")
    expect(page.locator('[id="e-model-07-with-a-long-name-region-4-of-07"]')).to_be_visible()
    expect(group(page, 7)).to_be_focused()
    group(page, 3).press("Enter")
    expect(page.locator("tr.endpoint")).to_have_count(5)
    shown = {
        "all": ["1"],
        "open": ["model-07-with-a-long-name"],
        "closed": ["model-03-with-a-long-name"],
    }
    assert query_of(page) == shown
    page.reload()
    expect(group(page, 7)).to_have_attribute("aria-expanded", "true")
    expect(group(page, 3)).to_have_attribute("aria-expanded", "false")

    page.get_by_role("link", name=SICK[1]).click()  # in the first lines of the page
    expect(page.locator(f'[id="e-{SICK[0]}-{SICK[1]}"]')).to_be_focused()

    page.get_by_label("Search the endpoints").fill("4-OF-09")
    expect(page.locator("tr.endpoint h4")).to_have_text(["region-4-of-09"])
    assert query_of(page)["search"] == ["4-OF-09"]
    page.get_by_label("Search the endpoints").fill("nowhere")
    expect(page.locator("#groups")).to_contain_text("No group and no endpoint is called like")
    page.get_by_role("button", name="Clear the search").click()
    expect(page.get_by_label("Search the endpoints")).to_be_focused()
    assert len(groups_of(page)) == 12


def test_who_carries_the_load_who_is_slow_and_what_it_costs(visit, world, photo):
    world.slow = {("gpt-4.1", "azure-west")}
    world.unpriced = {("text-embedding-3-small", "vllm-local")}
    page = visit()
    expect(page.locator("#headline")).to_have_text("1 of 8 endpoints is slow")
    words = re.compile(r"slow.* first byte after 4\.10\ss, usually 340\sms · since \d\d:\d\d$")
    expect(page.locator("#troubles li")).to_have_text(words)
    slow = page.locator('[id="e-gpt-4.1-azure-west"]')
    expect(slow.locator(".word")).to_have_text("slow")
    expect(slow.locator(".state")).to_have_attribute("title", re.compile("3 times its median"))
    expect(page.locator("tr.endpoint").first).to_contain_text("azure-west")
    expect(slow).to_contain_text("33% by weight")
    unknown = page.locator('[id="e-text-embedding-3-small-vllm-local"]')
    expect(unknown.get_by_role("link")).to_have_text("unknown")
    expect(unknown.get_by_role("link")).to_have_attribute(
        "href", re.compile(r"/dashboard/spend\?by=day&group=text-embedding-3-small&endpoint=vllm")
    )
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(CUT) == []
    assert violations(page, "table.endpoints") == []
    photo(page, "overview-phone", full=False)


def test_what_is_folded_depends_on_the_room_and_on_what_the_reader_opened(visit):
    page = visit()

    def folded(groups, **wanted):
        given = [
            {
                "group": name,
                "status": "degraded" if "open" in states else "ok",
                "waiting": 0,
                "endpoints": [{"endpoint": f"{name}{n}", "state": s} for n, s in enumerate(states)],
            }
            for name, states in groups.items()
        ]
        found = page.evaluate(
            "async ([groups, wanted]) => (await import(new URL('dashboard/folding.js',"
            " location.href))).folded(groups, wanted)",
            [given, wanted],
        )
        shown = {f["group"]["group"]: (len(f["endpoints"]), f["more"]) for f in found["folds"]}
        return shown, found["more"]

    small = {"a": ["ok"] * 3, "b": ["ok", "open"]}
    assert folded(small) == ({"b": (2, 0), "a": (3, 0)}, 0)
    assert folded(small, closed=["a"])[0] == {"b": (2, 0), "a": (0, 0)}
    large = {f"g{n:02d}": ["ok"] * 4 for n in range(20)}
    shown, more = folded(large)
    assert (list(shown), more) == ([f"g{n:02d}" for n in range(12)], 8)
    assert folded(large, open=["g15"]) == ({**shown, "g15": (4, 0)}, 7)
    assert folded(large, all=True)[1] == 0
    one = {"only": ["ok"] * 59 + ["open"]}
    assert folded(one) == ({"only": (4, 56)}, 0)
    assert folded(one, open=["only"]) == ({"only": (60, 0)}, 0)
    assert folded({"many": ["open"] * 30 + ["ok"] * 5}) == ({"many": (30, 5)}, 0)
    assert folded(large, search="g073") == ({"g07": (1, 0)}, 0)
