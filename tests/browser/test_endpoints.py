"""Failing endpoints come first, and the operator's actions reach the proxy."""

import re

from playwright.sync_api import expect


def row(page, group, endpoint):
    return page.locator(f'[id="e-{group}-{endpoint}"]')


def test_if_all_endpoints_are_healthy_one_line_says_so(visit):
    page = visit()
    expect(page.locator("#headline")).to_have_text("All 8 endpoints are healthy")
    expect(page.locator("#troubles")).to_be_hidden()
    expect(page).to_have_title("LLMProxy")
    expect(page.locator("#facts")).to_contain_text("4 workers · llmproxy.yaml loaded")


def test_unavailable_endpoints_are_listed_most_severe_first_with_since_when(visit, world):
    world.incident = True
    page = visit()
    expect(page.locator("#headline")).to_have_text("5 of 8 endpoints are unavailable; 1 is full")
    lines = page.locator("#troubles li")
    expect(lines).to_have_count(5)
    worst = "azure-north in gpt-4.1-mini: misconfigured, credential rejected"
    expect(lines.nth(0)).to_contain_text(worst)
    expect(lines.nth(2)).to_have_text(
        re.compile(
            r"^azure-east in gpt-4\.1: cooling down, throttled, \d+\ss\sleft · since \d\d:\d\d$"
        )
    )
    expect(page).to_have_title("! 5 of 8 endpoints are unavailable; 1 is full · LLMProxy")


def test_a_group_without_a_working_endpoint_is_named(visit, world):
    world.drained = {("text-embedding-3-small", "vllm-local"), ("text-embedding-3-small", "openai")}
    page = visit()
    expect(page.locator("#headline")).to_have_text(
        "text-embedding-3-small is down: 2 of 8 endpoints unavailable"
    )


def test_a_line_of_the_status_links_to_its_endpoint(visit, world):
    world.incident = True
    page = visit()
    page.get_by_role("link", name="openai").last.press("Enter")
    expect(row(page, "text-embedding-3-small", "openai")).to_be_focused()
    expect(row(page, "text-embedding-3-small", "openai")).to_be_in_viewport()


def test_states_have_a_word_and_endpoints_their_numbers(visit, world):
    world.incident = True
    page = visit()
    words = page.locator(".endpoint .word").all_text_contents()
    assert set(words) == {
        *("cooling down", "breaker open", "ok", "full", "misconfigured", "half-open", "drained")
    }
    sick = row(page, "gpt-4.1", "azure-east")
    expect(sick).to_contain_text("throttled")
    well = row(page, "gpt-4.1", "openai")
    expect(well).to_contain_text(re.compile(r"p99 [\d.]+\sm?s"))
    expect(well.get_by_role("meter", name="requests left")).to_have_attribute(
        "aria-valuetext", re.compile(r"^\d+ of 10000/min$")
    )
    expect(row(page, "gpt-4.1-mini", "openai")).to_contain_text("no known limit")
    expect(row(page, "gpt-4.1-mini", "openai")).to_contain_text("last resort")


def test_a_cooldown_is_counted_down_between_the_events(visit, world):
    world.incident = True
    page = visit()
    left = row(page, "gpt-4.1", "azure-east").locator(".left")
    expect(left).to_have_text(re.compile(r"\d+\ss left"))
    world.silent = True
    page.wait_for_timeout(300)  # events that were under way have arrived
    first = int(left.text_content().split()[0])
    expect(left).to_have_text(re.compile(rf"^{first - 2}\ss left$"), timeout=4000)


def test_a_drain_needs_a_confirmation_and_enabling_does_not(visit, world):
    page = visit()
    target = row(page, "gpt-4.1", "azure-east")
    target.get_by_role("button", name="Drain").click()
    dialog = page.get_by_role("dialog", name="Drain azure-east?")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    expect(dialog.get_by_role("combobox")).to_have_count(0)
    dialog.get_by_role("button", name="Drain").click()
    expect(page.locator("#toasts")).to_have_text("azure-east is drained: it gets no new calls.")
    expect(dialog).to_have_count(0)
    expect(target.locator(".word")).to_have_text("drained")
    assert world.done == [("drain", {"group": "gpt-4.1", "endpoint": "azure-east"})]
    target.get_by_role("button", name="Enable").click()
    expect(target.locator(".word")).to_have_text("ok")
    assert world.done[1:] == [("enable", {"group": "gpt-4.1", "endpoint": "azure-east"})]


def test_an_endpoint_of_several_groups_can_be_drained_in_all_of_them(visit, world):
    page = visit()
    row(page, "gpt-4.1-mini", "openai").get_by_role("button", name="Drain").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("In").select_option("all 3 groups that it serves")
    dialog.get_by_role("button", name="Drain").click()
    expect(page.locator("#headline")).to_have_text("3 of 8 endpoints are unavailable")
    assert world.done == [("drain", {"group": None, "endpoint": "openai"})]


def test_a_cancelled_drain_changes_nothing_and_returns_the_focus(visit, world):
    page = visit()
    button = row(page, "gpt-4.1", "azure-west").get_by_role("button", name="Drain")
    for leave in ("Escape", "Cancel"):
        button.click()
        if leave == "Escape":
            page.keyboard.press("Escape")
        else:
            page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(button).to_be_focused()
    assert world.done == []


def test_an_error_is_shown_in_the_dialog_that_caused_it(visit, world):
    world.refuse_actions = True
    world.incident = True
    page = visit(expected=["404"])
    row(page, "gpt-4.1", "openai").get_by_role("button", name="Drain").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Drain").click()
    expect(dialog.get_by_role("alert")).to_have_text("There is no endpoint 'openai'.")
    expect(dialog.get_by_role("button", name="Drain")).to_be_enabled()
    page.keyboard.press("Escape")
    row(page, "gpt-4.1", "azure-east").get_by_role("button", name="Clear").click()
    expect(page.locator("#toasts")).to_have_text("There is no endpoint 'azure-east'.")


def test_a_cooldown_is_cleared_at_once(visit, world):
    world.incident = True
    page = visit()
    sick = row(page, "gpt-4.1", "azure-east")
    sick.get_by_role("button", name="Clear").click()
    expect(sick.locator(".word")).to_have_text("ok")
    expect(sick.get_by_role("button", name="Clear")).to_be_hidden()
    assert world.done == [("clear", {"group": "gpt-4.1", "endpoint": "azure-east"})]


def test_the_cache_of_one_group_is_purged(visit, world):
    page = visit()
    page.get_by_role("button", name="Purge cache…").click()
    dialog = page.get_by_role("dialog", name="Purge the cache?")
    dialog.get_by_label("Answers of").select_option("gpt-4.1")
    dialog.get_by_role("button", name="Purge").click()
    expect(page.locator("#toasts")).to_contain_text("1,204 answers in memory and 17K in the store")
    assert world.done == [("purge", "gpt-4.1")]


def test_without_a_cache_there_is_nothing_to_purge(visit, world):
    world.cache = False
    page = visit()
    expect(page.locator("#figures")).to_contain_text("not configured")
    expect(page.get_by_role("button", name="Purge cache…")).to_be_hidden()


def test_a_reload_shows_what_changed_or_what_is_wrong(visit, world):
    page = visit(expected=["422"])
    page.get_by_role("button", name="Reload config…").click()
    dialog = page.get_by_role("dialog", name="Reload the config?")
    dialog.get_by_role("button", name="Reload").click()
    expect(dialog).to_contain_text("azure-south is new in gpt-4.1")
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    world.reload_problems = (
        "llmproxy.yaml:4: unknown key 'modle'.\nllmproxy.yaml:5: NOPE is not set."
    )
    page.get_by_role("button", name="Reload config…").click()
    dialog.get_by_role("button", name="Reload").click()
    expect(dialog.get_by_role("alert")).to_contain_text("unknown key 'modle'")
    expect(dialog.get_by_role("alert")).to_contain_text("NOPE is not set")


def test_a_refused_config_and_disconnected_shared_state_are_banners(visit, world):
    world.config_error = "llmproxy.yaml:14: unknown key 'wieght'.\nllmproxy.yaml:31: no."
    world.shared = {"connected": False, "instances": 2, "why": "timed out", "since_s": 72.0}
    page = visit()
    banners = page.locator("#banners")
    expect(banners).to_contain_text("unknown key 'wieght'.\nllmproxy.yaml:31: no.")
    expect(banners).to_contain_text("Shared state has been disconnected")
    expect(page.locator("#facts")).to_contain_text("2 instances")
    world.config_error = world.shared = None
    expect(banners.locator(".banner")).to_have_count(0)


def test_names_that_look_like_html_are_text(visit, world):
    world.names = {"azure-east": "<img src=x onerror=alert(1)>"}
    world.incident = True
    page = visit()
    expect(page.get_by_role("heading", name="<img src=x onerror=alert(1)>")).to_be_visible()
    assert page.locator("img").count() == 1  # our own


def test_rows_stay_the_same_elements_while_their_numbers_change(visit):
    page = visit()
    button = row(page, "gpt-4.1", "azure-east").get_by_role("button", name="Drain")
    button.focus()
    flights = row(page, "gpt-4.1", "azure-east").locator(".capacity")
    before = flights.text_content()
    expect(flights).not_to_have_text(before)
    expect(button).to_be_focused()
