"""For everybody: on a phone and a desk, in light and dark, by keyboard alone, with labels and contrast that suffice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chromium import Chromium, Page

AUDIT = (Path(__file__).parent / "audit.js").read_text(encoding="utf-8")
WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}
PAGES = ("ask", "costs", "documents", "cache", "budgets")
MANUAL = "# Pump manual\n\n## Warranty\n\nThe warranty of the pump lasts for five years and covers the motor.\n"
LONG = "a_very_long_name_without_any_blank_in_it_that_has_to_fit_on_a_phone_all_the_same_and_does_not"
QUESTION = "How long does the warranty of the pump last?"
FOCUSED = """(() => {
  const it = document.activeElement, style = getComputedStyle(it), box = it.getBoundingClientRect();
  const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  const unseen = it.matches('.unseen');
  return {
    name: it.id || it.textContent.trim().slice(0, 30), body: it === document.body, dialog: !!it.closest('dialog'),
    ring: unseen || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2),
    reached: unseen || !!at && (it.contains(at) || at.contains(it)),
    after: !window.before || window.before === it || !!(window.before.compareDocumentPosition(it) & 4),
    set: (window.before = it, true)[1],
  };
})()"""

EDGES = "(box) => [box.left, box.top, box.right, box.bottom]"
FOCUSABLE = 'a[href], button, input, select, textarea, summary, [tabindex="0"]'
SHOWN = "(it) => !it.disabled && it.checkVisibility({visibilityProperty: true})"
FROM_THE_TOP = """(() => {
  const first = document.createElement('a');
  first.tabIndex = 0;
  document.body.prepend(first);
  first.focus();
  first.remove();
  window.before = null;
})()"""
"""Tab goes on from where the focus was last, also when that is gone."""
LISTEN = """(() => {
  const place = document.querySelector('#status');
  window.heard = [];
  new MutationObserver(() => heard.push(place.textContent)).observe(place, {childList: true});
})()"""

FLAWED = """(() => {
  const add = (tag, attributes) => {
    const it = Object.assign(document.createElement(tag), attributes);
    document.querySelector('main').append(it);
    return it;
  };
  add('button', {id: 'main'}).style.cssText = 'height: 9px; min-height: 0; padding: 0';
  add('input', {type: 'text'});
  add('img', {src: '/assets/icon.svg'});
  add('h5', {textContent: 'Too deep'});
  add('p', {textContent: 'Too faint'}).style.color = '#bbb';
  add('div', {}).style.cssText = 'width: 3000px; height: 1px; flex: none';
})()"""


def rarely(*values: str) -> list[Any]:
    """What is like another one that is tested always."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


@pytest.fixture
def filled(tenant: Any) -> Any:
    """A tenant with something to see on every page."""
    tenant.upload(pump_md=MANUAL, **{f"{LONG}_md": MANUAL.replace("pump", "fan")})
    tenant.post("/v1/budgets", {"whom": "tenant", "limit_usd": "0.5", "per": "month", "zone": "Europe/Berlin"}, "PUT")
    tenant.post("/v1/budgets", {"whom": "user=*", "limit_usd": "0.02", "per": "24h"}, "PUT")
    for question in (QUESTION, QUESTION, "How long does the warranty of the fan last?"):
        tenant.ask(question, user="alice")
    return tenant


def arrange(page: Page, name: str) -> None:
    """Bring a page to where it shows most."""
    if name == "ask":
        page.write("#question", QUESTION)
        page.press("Enter")
        page.wait("document.querySelector('.feedback')")
        page.click(".bill summary")
        page.click(".options summary")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_every_screen_and_can_be_read(chromium: Chromium, filled: Any, pictures: Path, name: str) -> None:
    with chromium.page() as page:
        filled.enter(page, "/" if name == "ask" else f"/{name}")
        arrange(page, name)
        for place, (width, height) in WIDTHS.items():
            page.resize(width, height)
            for dark in (False, True):
                page.scheme(dark=dark)
                page.wait(f"matchMedia('(prefers-color-scheme: dark)').matches === {str(dark).lower()}")
                page.wait("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
                assert page.js(AUDIT) == [], (place, dark)
                page.picture(pictures / f"{name}-{place}-{'dark' if dark else 'light'}.png")
        assert page.problems == []


def test_the_audit_finds_what_it_looks_for(chromium: Chromium, filled: Any) -> None:
    with chromium.page() as page:
        filled.enter(page, "/budgets")
        page.js(FLAWED)
        found = "\n".join(page.js(AUDIT))
    for flaw in (
        "no name",
        "no label",
        "no alternative",
        "is there twice",
        "is missing",
        "too wide",
        "only",
        "contrast is",
    ):
        assert flaw in found, found


@pytest.mark.parametrize("opened", ["source", "budget", *rarely("delete", "receipt", "key")])
@pytest.mark.parametrize("place", ["phone", *rarely("desk")])
def test_a_dialog_fits_and_keeps_the_focus(
    chromium: Chromium, filled: Any, pictures: Path, opened: str, place: str
) -> None:
    path, button = {
        "source": ("/documents", "#list .link"),
        "budget": ("/budgets", "#add"),
        "delete": ("/documents", "#list .danger"),
        "receipt": ("/cache", "#latest button"),
        "key": ("/costs", "#who"),
    }[opened]
    width, height = WIDTHS[place]
    with chromium.page(width=width, height=height, dark=place == "phone") as page:
        filled.enter(page, path)
        page.click(button)
        page.wait("document.querySelector('dialog')?.getClientRects().length && !document.querySelector('[aria-busy]')")
        assert page.js(AUDIT) == []
        left, top, right, bottom = page.js(f"(({EDGES})(document.querySelector('dialog').getBoundingClientRect()))")
        assert min(left, top, width - right, height - bottom) >= 0
        page.picture(pictures / f"dialog-{opened}-{place}.png")
        focusable = page.js("document.querySelectorAll('dialog :is(button, input, select, [tabindex])').length")
        for _ in range(focusable + 3):
            page.press("Tab")
            focused = page.js(FOCUSED)
            # Between the last and the first the browser's own controls have their turn.
            assert focused["dialog"] or focused["body"], focused
        page.dismiss()
        assert page.js(f"document.activeElement === document.querySelector('{button}')")


@pytest.mark.parametrize("name", ["ask", *rarely("costs", "documents", "cache", "budgets")])
def test_a_page_can_be_walked_by_keyboard(chromium: Chromium, filled: Any, name: str) -> None:
    with chromium.page(width=390, height=844) as page:
        filled.enter(page, "/" if name == "ask" else f"/{name}")
        arrange(page, name)
        page.js(FROM_THE_TOP)
        seen: list[str] = []
        while True:
            page.press("Tab")
            focused = page.js(FOCUSED)
            if focused["body"] or len(seen) > 200:
                break
            assert focused["ring"], focused
            assert focused["reached"], focused
            assert focused["after"], (focused, seen)
            seen.append(focused["name"])
        assert seen[0] == "Skip to the content"
        assert {"Ask", "Costs", "Documents", "Cache", "Budgets"} <= set(seen)
        assert len(seen) == page.js(f"[...document.querySelectorAll({json.dumps(FOCUSABLE)})].filter({SHOWN}).length")


def test_the_skip_link_leads_to_the_content_and_news_are_announced(chromium: Chromium, filled: Any) -> None:
    with chromium.page() as page:
        filled.enter(page, "/documents")
        page.press("Tab")
        assert page.js("document.activeElement.className") == "skip"
        page.press("Enter")
        page.wait("document.activeElement.id === 'main'")
        page.goto(filled.site.url + "/")
        page.wait("document.activeElement.id === 'question'")
        page.js(LISTEN)
        page.write("#question", "What does the warranty of the pump cover?")
        page.press("Enter")
        page.wait("document.querySelector('.feedback')")
        heard = page.js("window.heard")
        assert heard[0] == "Searching the documents"
        assert any("covers the motor" in it for it in heard)
        assert heard[-1].startswith("The answer is complete")
        assert page.js("document.querySelector('#status').getAttribute('aria-live')") == "polite"
