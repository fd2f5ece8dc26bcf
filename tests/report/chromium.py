"""Pages in headless Chromium, where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()


def chromium(*arguments: str, page: Path, fragment: str, profile: Path) -> str:
    """Run it on a page; skips the test where there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    done = subprocess.run(
        [program, *_FLAGS, f"--user-data-dir={profile}", *arguments, f"{page.as_uri()}#{fragment}"],
        capture_output=True,
        timeout=300,
        check=True,
    )
    return done.stdout.decode("utf-8", "replace")


def dom(text: str, folder: Path, fragment: str = "") -> str:
    """The page's elements when its script has run."""
    page = folder / "page.html"
    page.write_text(text, encoding="utf-8")
    profile = folder / "profile"
    shutil.rmtree(profile, ignore_errors=True)
    return chromium("--dump-dom", page=page, fragment=fragment, profile=profile)


def screenshot(text: str, folder: Path, fragment: str = "") -> Path:
    """A picture of 1280 by 800 pixels."""
    page, picture = folder / "page.html", folder / "picture.png"
    page.write_text(text, encoding="utf-8")
    chromium(
        f"--screenshot={picture}",
        "--window-size=1280,800",
        "--virtual-time-budget=4000",
        page=page,
        fragment=fragment,
        profile=folder / "profile",
    )
    return picture


def pressing(text: str, *keys: str) -> str:
    """The page with a script that presses keys when it is ready.

    The page's policy would not let it run, and is taken out.
    """
    free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    assert free != text
    press = "".join(
        "(document.activeElement || document.body).dispatchEvent(new KeyboardEvent('keydown', "
        f"{{key: {key!r}, bubbles: true, cancelable: true}}));"
        for key in keys
    )
    return free.replace("</body>", f"<script>{press}</script></body>")


def tags(page: str, kind: str) -> list[dict[str, str]]:
    """Attributes of each element of a kind."""
    found = re.findall(rf"<{kind}((?:\s[^<>]*?)?)/?>", page)
    pair = re.compile(r'([\w-]+)(?:="([^"]*)")?')
    return [{name: unescape(value) for name, value in pair.findall(text)} for text in found]


def ready(page: str) -> dict[str, str]:
    """The body's attributes; fails where the script did not come to its end."""
    (body,) = tags(page, "body")
    assert "data-error" not in body, body["data-error"]
    assert int(body["data-ready"]) > 0
    return body
