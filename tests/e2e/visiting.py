"""How a test visits the dashboard in a browser, and what it hears there."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Page, Request, expect

PROBES = ("/_stcore/health", "/_stcore/host-config")
"""Below a page's own path Streamlit's frontend first probes for a server there; the 404 is how it learns to go up."""


@dataclass
class Visit:
    """A browser page, and what went wrong or left the machine while it was open."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go to an address and wait until its page is drawn."""
        self.page.goto(f"{self.address}{path}")
        self.drawn()

    def drawn(self) -> None:
        """Wait until a heading is there, the script has ended and every part has the code that draws it."""
        expect(self.page.locator("h1").first).to_be_visible(timeout=30_000)
        expect(self.page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_attached(
            timeout=30_000
        )
        expect(self.page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=30_000)

    def heard(self, message: ConsoleMessage) -> None:
        """Keep the console's errors."""
        if message.type == "error" and not str(message.location.get("url", "")).endswith(PROBES):
            self.complaints.append(f"console: {message.text} ({message.location})")

    def asked(self, request: Request) -> None:
        """Keep requests that leave this machine."""
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.complaints.append(f"request: {request.url}")
