"""The charts: what they show, their values at a moment, and their summaries."""

import re

from playwright.sync_api import expect

from tests.browser.reading import violations

TITLES = ["Calls", "Failures", "First byte", "Tokens", "Spend", "Cache"]


def chart(page, title):
    return page.locator(".chart", has=page.locator(".title", has_text=re.compile(f"^{title}$")))


def test_there_are_six_charts_with_ticks_a_total_and_a_sentence(visit):
    page = visit()
    assert page.locator(".chart .title").all_text_contents() == TITLES
    for title in TITLES:
        one = chart(page, title)
        expect(one.locator("path.line").first).to_be_attached()
        assert one.locator(".tick").count() >= 5
        expect(one.locator(".total")).not_to_be_empty()
        expect(one.locator("p.hidden")).to_have_text(re.compile(r"From \d\d:.* at most "))


def test_pointing_at_one_chart_shows_the_values_of_all(visit):
    page = visit()
    area = chart(page, "Calls").locator(".plot")
    expect(area.locator("path.line").first).to_be_attached()
    box = area.bounding_box()
    area.hover(position={"x": box["width"] / 2, "y": 40})
    for title in ("Calls", "Spend"):
        expect(chart(page, title).locator(".total")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
        expect(chart(page, title).locator(".cursor line")).to_be_attached()
    page.locator("#headline").hover()
    expect(chart(page, "Calls").locator(".total")).to_contain_text("calls")
    expect(chart(page, "Calls").locator(".cursor line")).to_have_count(0)


def test_the_arrow_keys_move_through_a_chart(visit):
    page = visit()
    area = page.get_by_role("slider", name="First byte: use arrow keys to read values")
    area.focus()
    page.keyboard.press("Home")
    expect(area).to_have_attribute("aria-valuenow", "0")
    page.keyboard.press("ArrowRight")
    expect(area).to_have_attribute("aria-valuenow", "1")
    expect(area).to_have_attribute(
        "aria-valuetext", re.compile(r"^\d\d:\d\d:\d\d: p99 [\d.]+\sm?s, p50 [\d.]+\sm?s$")
    )
    page.keyboard.press("Escape")
    expect(chart(page, "First byte").locator(".total")).to_contain_text("proxy overhead")


def test_a_day_is_shown_in_steps_of_five_minutes(visit):
    page = visit()
    with page.expect_response(lambda response: "range=24h" in response.url):
        page.get_by_text("24 hours").click()
    area = page.get_by_role("slider", name="Tokens: use arrow keys to read values")
    expect(area).to_have_attribute("aria-valuemax", "287")
    expect(area).to_have_attribute("aria-valuetext", re.compile(r"^\d\d:\d[05]: "))
    expect(chart(page, "Calls").locator(".tick", has_text=":00").first).to_be_visible()


def test_points_arrive_one_by_one_and_the_oldest_is_dropped(visit):
    page = visit()
    sentence = chart(page, "Calls").locator("p.hidden")
    expect(sentence).to_have_text(re.compile("^From"))
    began = sentence.text_content()[:13]
    expect(sentence).not_to_have_text(re.compile(f"^{began}"), timeout=8000)
    expect(page.get_by_role("slider").first).to_have_attribute("aria-valuemax", "179")


def test_choosing_a_group_loads_its_history(visit):
    page = visit()
    with page.expect_response(lambda response: "history?range=15m&group=gpt-4.1" in response.url):
        page.get_by_label("Group").select_option("gpt-4.1")


def test_idle_charts_say_so_and_draw_no_line(visit, world):
    world.empty = True
    page = visit()
    expect(chart(page, "First byte")).to_contain_text("No answers in this time.")
    expect(chart(page, "First byte").locator("path.line")).to_have_count(0)


def test_weeks_come_from_the_store_and_marks_say_what_happened(visit, photo):
    page = visit()
    flags = chart(page, "Calls").locator(".mark-flag")
    expect(flags).to_have_count(3)
    marks = page.get_by_role("list", name="What happened in this time").get_by_role("listitem")
    expect(marks).to_have_text(
        [
            re.compile(r"^\d\d:\d\d:\d\d azure-north drained$"),
            re.compile(r"^\d\d:\d\d:\d\d azure-west out$"),
            re.compile(r"^\d\d:\d\d:\d\d config reloaded$"),
        ]
    )
    page.get_by_text("30 days").click()
    expect(page.locator("#charts-note")).to_contain_text("From the store, all instances together")
    titles = ["Calls", "Failures", "Duration", "Tokens", "Spend", "Cache"]
    assert page.locator(".chart .title").all_text_contents() == titles
    area = page.get_by_role("slider", name="Duration: use arrow keys to read values")
    expect(area).to_have_attribute("aria-valuetext", re.compile(r"^\d.*: mean 1\.90\ss$"))
    expect(chart(page, "Cache")).to_contain_text("Hit rates are kept for 24 hours.")
    expect(flags).to_have_count(5)
    expect(
        chart(page, "Calls").locator(".tick", has_text=re.compile(r"^\d+\s\w{3}$")).first
    ).to_be_attached()
    page.locator("#charts-title").evaluate("title => title.scrollIntoView()")
    photo(page, "charts-month", full=False)
    page.reload()
    expect(page.get_by_label("30 days")).to_be_checked()
    expect(page.locator("#charts-note")).to_contain_text("From the store")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert violations(page, "#charts, #marks, .bar") == []
    page.locator("#marks").evaluate("list => list.scrollIntoView({block: 'end'})")
    photo(page, "charts-phone", full=False)
