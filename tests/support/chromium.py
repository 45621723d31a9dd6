"""A headless Chromium over its own protocol and a pair of pipes: no driver, no port, nothing to install beside it."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--lang=en-GB",
    "--remote-debugging-pipe",
)
PATIENCE = 120.0
"""Seconds before something is given up that should have happened; nothing ever waits for them to pass."""
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "Space": 32}


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """A running browser. What it is asked is answered in order; what it tells by itself goes to the page concerned."""

    def __init__(self, process: subprocess.Popen[bytes], sending: int, receiving: int) -> None:
        self._process = process
        self._sending = sending
        self._answers: dict[int, Future[dict[str, Any]]] = {}
        self._hearers: dict[str, Callable[[str, dict[str, Any]], None]] = {}
        self._lock = threading.Lock()
        self._number = 0
        self._thread = threading.Thread(target=self._read, args=(receiving,), name="chromium", daemon=True)
        self._thread.start()

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            self._number += 1
            message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
            if session is not None:
                message["sessionId"] = session
            self._answers[self._number] = answer
            _write(self._sending, json.dumps(message).encode() + b"\0")
        return answer.result(PATIENCE)

    def hear(self, session: str, hearer: Callable[[str, dict[str, Any]], None]) -> None:
        self._hearers[session] = hearer

    @contextmanager
    def page(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[Page]:
        """A page with a storage of its own, as in a window that nobody has used before."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        try:
            target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
            session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            page = Page(self, session)
            for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
                page.call(f"{domain}.enable")
            page.resize(width, height)
            page.scheme(dark=dark)
            yield page
        finally:
            self.call("Target.disposeBrowserContext", browserContextId=context)

    def close(self) -> None:
        with suppress(OSError, TimeoutError):
            self.call("Browser.close")
        self._process.wait(PATIENCE)
        self._thread.join(PATIENCE)
        os.close(self._sending)

    def _read(self, receiving: int) -> None:
        rest = b""
        with os.fdopen(receiving, "rb", buffering=0) as stream:
            while block := stream.read(1 << 16):
                *messages, rest = (rest + block).split(b"\0")
                for message in messages:
                    self._take(json.loads(message))
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(OSError("the browser has ended"))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            answer = self._answers.pop(message["id"])
            if "error" in message:
                answer.set_exception(RuntimeError(message["error"]["message"]))
            else:
                answer.set_result(message["result"])
        elif hearer := self._hearers.get(message.get("sessionId", "")):
            hearer(message["method"], message["params"])


class Page:
    """A page of its own. `requests` are the addresses it asked for, `problems` what it complained about."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session
        self.requests: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.loads = 0
        browser.hear(session, self._hear)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **params)

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def scheme(self, *, dark: bool) -> None:
        wanted = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.call("Emulation.setEmulatedMedia", features=[wanted, still])

    def goto(self, url: str) -> None:
        loads = self.loads
        self.call("Page.navigate", url=url)
        self.until(lambda: self.loads > loads, f"{url} to load")

    def js(self, expression: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"].get("exception", {}).get("description", "it failed"))
        return found["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The value of an expression as soon as it is true."""
        seen = f"(it => it instanceof Node || it)({expression})"
        return self.until(lambda: self.js(seen), expression)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            # A page that is being replaced answers nothing.
            with suppress(RuntimeError):
                if found := condition():
                    return found
            time.sleep(0.025)
        shown = self.js("document.body.innerText")[:2000]
        raise AssertionError(f"waited in vain for {what}; the page shows: {shown}; problems: {self.problems}")

    def see(self, text: str, within: str = "body") -> None:
        """Wait until a text is shown."""
        self.wait(f"document.querySelector({json.dumps(within)})?.innerText.includes({json.dumps(text)})")

    def text(self, selector: str) -> str:
        return str(self.wait(f"document.querySelector({json.dumps(selector)})?.innerText"))

    def click(self, selector: str) -> None:
        """Press where an element is, as soon as it can be seen; what covers it is pressed instead."""
        name = json.dumps(selector)
        self.wait(f"document.querySelector({name})?.getClientRects().length")
        box = self.js(
            f"(() => {{ const it = document.querySelector({name}); it.scrollIntoView({{block: 'center'}});"
            " const box = it.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def write(self, selector: str, text: str) -> None:
        """Click into a field and type over what is in it."""
        self.click(selector)
        self.js("document.activeElement.select?.()")
        self.call("Input.insertText", text=text)

    def choose(self, selector: str, value: str) -> None:
        name, chosen = json.dumps(selector), json.dumps(value)
        self.wait(f"document.querySelector({name})")
        self.js(
            f"(() => {{ const it = document.querySelector({name}); it.value = {chosen};"
            " it.dispatchEvent(new Event('change', {bubbles: true})) })()"
        )

    def press(self, key: str, *, shift: bool = False) -> None:
        code = KEYS[key]
        more: dict[str, Any] = {"text": {"Enter": "\r", "Space": " "}[key]} if key in ("Enter", "Space") else {}
        named = {"key": " " if key == "Space" else key, "code": key, "windowsVirtualKeyCode": code}
        for kind in ("keyDown", "keyUp"):
            own = more if kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, modifiers=8 * shift, **named, **own)

    def dismiss(self) -> None:
        """Close a dialog as keyboards do."""
        self.press("Escape")
        self.wait("!document.querySelector('dialog')")

    def choose_files(self, selector: str, *paths: Path) -> None:
        root = self.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def picture(self, path: Path, *, whole: bool = False) -> None:
        params: dict[str, Any] = {"captureBeyondViewport": True} if whole else {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            params["clip"] = {**size, "scale": 1}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png", **params)["data"]))

    def _hear(self, event: str, params: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(params["request"])
        elif event == "Page.loadEventFired":
            self.loads += 1
        elif event == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description") or details["text"])
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("warning", "error"):
            self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}".strip())
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.problems.append(" ".join(str(it.get("value", it.get("description"))) for it in params["args"]))
        elif event == "Page.javascriptDialogOpening":
            self.problems.append(f"a dialog of the document's: {params['message']}")


@contextmanager
def running_chromium(binary: str, folder: Path) -> Iterator[Chromium]:
    """A browser that has never been used, for the length of a block."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    # The browser reads from 3 and writes to 4; numbers above them cannot get in each other's way.
    passed = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out)]
    os.close(theirs_in)
    os.close(theirs_out)
    command = ["bash", "-c", f'exec "$@" 3<&{passed[0]} 4>&{passed[1]}', "bash", binary, *FLAGS]
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    for end in passed:
        os.close(end)
    browser = Chromium(process, ours_out, ours_in)
    try:
        yield browser
    finally:
        browser.close()


def _write(end: int, data: bytes) -> None:
    while data:
        data = data[os.write(end, data) :]
