"""The site, and a benchmark's page, in a real browser: no error, and no page wider than its window.

`make docs` installs what this needs and builds the site.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner

from tests.helpers.repository import ROOT
from untorn.cli import main

BENCH = "bench --target sim --reader none --reader maps --nsamples 1 --duration 0.01 --mb 8"
SITE = ROOT / "site"
WIDTHS = 360, 1280
"""Widths of a window in pixels: a phone and a desktop."""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="make docs installs playwright")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium; on Debian: apt install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def faults(browser: Any, addresses: list[str]) -> list[str]:
    """Open pages in a window of each width; return their faults."""
    found: list[str] = []
    tab = browser.new_page()
    tab.set_default_timeout(0)  # a test has a time limit, a page has none
    tab.on("console", lambda each: found.extend([each.text] * (each.type == "error")))
    tab.on("pageerror", lambda error: found.append(f"{tab.url}: {error}"))
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 800})
        for address in addresses:
            tab.goto(address)
            if (needed := tab.evaluate("document.documentElement.scrollWidth")) > width:
                found.append(f"{address}: {needed} pixels wide in a window of {width}")
    tab.close()
    return found


@pytest.mark.timeout(1200)
def test_the_site(browser: Any) -> None:
    pages = sorted(each.name for each in SITE.glob("*.html"))
    if not pages:
        pytest.skip("no site; make docs builds it")
    with served(SITE) as site:
        assert not faults(browser, [f"{site}/{page}" for page in pages])


def test_the_page_of_a_benchmark(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = CliRunner().invoke(main, [*BENCH.split(), "--html", str(page)])
    assert done.exit_code == 0, done.output
    assert not faults(browser, [f"file://{page}"])
