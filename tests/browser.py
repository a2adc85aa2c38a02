"""A real headless Chromium, driven by chromedriver through the W3C WebDriver protocol.

https://www.w3.org/TR/webdriver2/ is JSON over HTTP, so nothing else needs to be installed.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the standard's name of a reference
KEYS = {"tab": "\ue004", "escape": "\ue00c", "enter": "\ue007", "down": "\ue015"}


class Browser:
    """One window: goes to pages, runs scripts, types."""

    def __init__(self, address):
        self.address = address
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,900"]
        wanted = {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        made = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.address += f"/session/{made['sessionId']}"

    def open(self, url):
        self._send("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        """What `script` returns; it sees `arguments`."""
        return self._send("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def type(self, text):
        """Press the keys of `text` (or one named in KEYS) wherever the focus is."""
        keys = [KEYS[text]] if text in KEYS else list(text)
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        board = {"type": "key", "id": "board", "actions": actions}
        self._send("POST", "/actions", {"actions": [board]})

    def prefer(self, scheme):
        """Ask for a light or a dark page, as the system does."""
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        order = {"cmd": "Emulation.setEmulatedMedia", "params": media}
        self._send("POST", "/goog/cdp/execute", order)

    def complaints(self):
        """What the console was told: errors, and what the content security policy refused."""
        return [each["message"] for each in self._send("POST", "/se/log", {"type": "browser"})]

    def close(self):
        self._send("DELETE", "")

    def _send(self, method, path, body=None):
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(
            f"{self.address}{path}", data, {"Content-Type": "application/json"}, method=method
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as answer:
                return json.loads(answer.read())["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[:600]) from error


def driver():
    """The path of chromedriver; without it the test is skipped, or fails where a browser is required."""
    found = shutil.which("chromedriver")
    if found is None:
        told = (
            "apt-get install chromium chromium-driver, or put chromedriver and its Chrome on PATH"
        )
        if os.environ.get("ZOO_BROWSER") == "required":
            pytest.fail(f"ZOO_BROWSER=required, and there is no chromedriver: {told}")
        pytest.skip(f"no chromedriver here: {told}")
    return found


@contextlib.contextmanager
def browser():
    """Start chromedriver and a window; end both."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [driver(), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        window = Browser(f"http://127.0.0.1:{port}")
        try:
            yield window
        finally:
            window.close()
    finally:
        process.terminate()
        process.wait()
