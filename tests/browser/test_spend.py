"""The page Spend: whose money, compared with the period before, and how sure it is."""

import re

import pytest
from playwright.sync_api import expect


@pytest.fixture
def spend(world):
    return world.spend


@pytest.fixture
def open_spend(page_at, spend):
    """Open the page; open_spend("?by=team,model")."""
    return page_at("spend")


def rows(page, *names):
    """The rows of the table, or those that name all of these."""
    found = page.locator("#spend tbody tr")
    for name in names:
        found = found.filter(has=page.get_by_role("link", name=name, exact=True))
    return found


def dollars(text):
    return float(re.search(r"\$([\d,.]+)", text)[1].replace(",", ""))


def test_spend_is_shown_by_team_the_dearest_first(open_spend):
    page = open_spend()
    expect(rows(page)).to_have_count(5)
    amounts = [dollars(row.inner_text().replace("\n", " ")) for row in rows(page).all()]
    assert amounts == sorted(amounts, reverse=True)
    total = dollars(page.locator("#spend .figures").inner_text())
    assert sum(amounts) == pytest.approx(total, abs=0.05)
    assert dollars(page.locator("#spend .chart .total").inner_text()) == total


def test_dimensions_period_and_filters_stand_in_the_address(open_spend):
    page = open_spend()
    page.get_by_label("Then by").select_option("model")
    expect(rows(page)).to_have_count(20)
    expect(page).to_have_url(re.compile("by=team(,|%2C)model"))
    page.locator("#spend").get_by_text("7 days").click()
    expect(page).to_have_url(re.compile("since=7d"))
    page.get_by_label("Filter by").select_option("model")
    page.get_by_label("Only", exact=True).fill("gpt-4.1")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(5)
    page.reload()
    expect(rows(page)).to_have_count(5)
    expect(page.get_by_role("radio", name="7 days")).to_be_checked()
    page.get_by_role("button", name="Remove the filter Model: gpt-4.1").click()
    expect(rows(page)).to_have_count(20)
    page.go_back()
    expect(rows(page)).to_have_count(5)


def test_a_name_leads_to_what_is_behind_it(open_spend):
    page = open_spend()
    rows(page, "search").get_by_role("link").click()
    expect(page).to_have_url(re.compile("team=search"))
    expect(page.get_by_label("By", exact=True)).to_have_value("key")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("search-prod")


def test_the_period_before_is_compared_in_dollars_and_percent(open_spend):
    page = open_spend()
    change = page.locator("#spend .figures > div").nth(1)
    expect(change).to_contain_text(re.compile(r"[+\u2212]\$[\d.]+"))
    expect(change).to_contain_text(re.compile(r"[+\u2212][\d.]+%, from \$[\d,.]+ before"))
    expect(rows(page).first).to_contain_text(re.compile(r"[+\u2212]\$[\d.]+\s*[+\u2212][\d.]+%"))


def test_estimated_and_unknown_cost_are_told_apart_and_savings_stand_alone(open_spend):
    page = open_spend("?by=team,model")
    estimated = rows(page, "support", "claude-sonnet-4")
    expect(estimated).to_contain_text(re.compile(r"≈ \$[\d.]+.*20% estimated"))
    partly = rows(page, "search", "o4-mini")
    expect(partly).to_contain_text(re.compile(r"\+ [\d,]+ calls unknown"))
    expect(partly).to_contain_text("88%")
    expect(page.locator("#spend .figures > div").last).to_contain_text("not part of the spend")


def test_without_a_price_nothing_costs_zero(open_spend, spend):
    spend.prices = False
    page = open_spend()
    expect(page.locator("#spend")).to_contain_text("Their spend is unknown, not zero.")
    expect(page.locator("#spend .figures > div").first).to_contain_text("unknown")
    for row in rows(page).all():
        expect(row).to_contain_text("unknown")
        expect(row).not_to_contain_text("$")
    expect(page.locator("#spend .chart")).to_have_count(0)


def test_the_chart_is_read_with_the_keyboard(open_spend):
    page = open_spend()
    plot = page.get_by_role("slider", name=re.compile("Spend"))
    plot.press("Home")
    first = plot.get_attribute("aria-valuetext")
    assert re.match(r"\d+ \w+: search \$[\d.]+, support \$", first)
    plot.press("ArrowRight")
    assert plot.get_attribute("aria-valuetext") != first
    expect(page.locator("#spend .legend li")).to_have_count(5)


def test_the_largest_six_have_colours_and_the_rest_is_one(open_spend, spend):
    spend.teams = tuple(f"team-{number:02}" for number in range(40))
    page = open_spend("?since=7d")
    expect(page.locator("#spend .legend li")).to_have_count(7)
    expect(page.locator("#spend .legend li").last).to_contain_text("all others")


def test_the_last_hours_are_shown_by_hour(open_spend):
    page = open_spend("?since=24h")
    expect(page.locator("#spend .chart")).to_contain_text("per hour")
    expect(page.locator("#spend .chart")).to_contain_text(re.compile(r"\d\d:00"))


def test_sixty_endpoints_fit_on_the_page_and_more_rows_come_when_asked(open_spend, spend):
    spend.endpoints = tuple(f"endpoint-{number:02}" for number in range(60))
    page = open_spend("?by=endpoint&since=90d")
    expect(rows(page)).to_have_count(60)
    spend.teams = tuple(f"team-{number:02}" for number in range(120))
    page = open_spend("?since=7d")
    expect(rows(page)).to_have_count(101)
    shares = [float(text.strip("%<")) for text in page.locator("#spend .share").all_text_contents()]
    expect(rows(page).last).to_contain_text("(other)")
    assert sum(shares) == pytest.approx(100, abs=5)
    page.get_by_role("button", name="Show more").click()
    expect(rows(page)).to_have_count(120)
    expect(page.locator("#spend table")).not_to_contain_text("(other)")


def test_the_csv_has_what_the_page_shows(open_spend):
    page = open_spend("?by=team,model&since=7d&team=search")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    query = download.value.url.split("?")[1]
    assert set(query.split("&")) >= {"by=team%2Cmodel", "since=7d", "team=search"}


def test_budgets_are_shown_the_fullest_first(open_spend):
    page = open_spend()
    cards = page.get_by_label("Budgets").get_by_role("listitem")
    expect(cards.first).to_contain_text("Team billing")
    expect(cards.first).to_contain_text("used up of $20.00 a month")
    expect(cards.nth(1)).to_contain_text("$11.90 left of $500.00 a month")
    expect(cards.nth(1)).to_contain_text("resets")


def test_empty_pages_say_what_to_do_next(open_spend, spend):
    spend.calls = False
    page = open_spend("?team=nobody")
    page.get_by_role("button", name="Remove the filters").click()
    page.get_by_role("button", name="Show a year").click()
    expect(page.locator("#spend")).to_contain_text("Make a call through the proxy")


def test_calls_without_a_team_lead_to_the_keys(open_spend, spend):
    spend.teams = (None,)
    page = open_spend()
    expect(page.locator("#spend")).to_contain_text("None of these calls belongs to a team.")
    page.get_by_role("link", name="Create keys").click()
    expect(page).to_have_url(re.compile("/dashboard/keys"))


def test_a_store_that_is_away_or_off_is_told(open_spend, spend):
    spend.down = True
    page = open_spend(expected=["503", "404"])
    expect(page.locator("#spend")).to_contain_text("it refuses connections")
    spend.down, spend.off = False, True
    page.reload()
    expect(page.locator("#spend")).to_contain_text("Set general_settings.database_url")
