"""A real browser, and all that it says and asks for while it shows a page."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.support.processes import PATIENCE

PROGRAM = "chromium"
BY_REFUSAL = "the server responded with a status of 401"


@dataclass
class Shown:
    """A page, what was wrong with it, and every address that it asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Keep what comes from now on."""
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type in _LOUD else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))


_LOUD = ("error", "warning")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Headless Chromium, as Debian has it. Fails the test where there is none."""
    program = shutil.which(PROGRAM)
    if program is None:
        pytest.fail("needs Chromium: run scripts/debian-packages")
    expect.set_options(timeout=PATIENCE * 1000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def showing(browser: Browser, address: str, **options: Any) -> AsyncIterator[Shown]:
    """The page at `address`, in a profile of its own with these `options`."""
    context = await browser.new_context(**options)
    context.set_default_timeout(PATIENCE * 1000)
    try:
        shown = Shown(await context.new_page())
        shown.listen()
        await shown.page.goto(address)
        yield shown
    finally:
        await context.close()
