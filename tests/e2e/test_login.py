"""A dashboard that asks for a login: nothing without one, everything with one, and no secret in a log or row."""

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from itsdangerous import URLSafeTimedSerializer
from joserfc.jwk import RSAKey
from playwright.sync_api import Browser, BrowserContext, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from dashboard.components.wording import JOINER
from tests.e2e.served import Served, free_port, serve
from tests.sample import films
from tests.stub_issuer import Issuer, stub_issuer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
COOKIE_SECRET = secrets.token_hex(32)


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with stub_issuer(Issuer()) as started:
        yield started


@pytest.fixture(scope="module")
def served(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A dashboard that lets in example.org and one address elsewhere."""
    folder = tmp_path_factory.mktemp("login")
    port = free_port()
    secrets_file = folder / "secrets.toml"
    secrets_file.write_text(
        f'[auth]\nredirect_uri = "http://127.0.0.1:{port}/oauth2callback"\ncookie_secret = "{COOKIE_SECRET}"\n'
        f'client_id = "{issuer.client_id}"\nclient_secret = "{issuer.client_secret}"\n'
        f'server_metadata_url = "{issuer.url}/.well-known/openid-configuration"\n'
    )
    with serve(
        folder,
        films(30),
        port=port,
        STREAMLIT_SECRETS_FILES=str(secrets_file),
        PNEUMOSCOPE_ALLOWED_EMAILS="example.org, guest@elsewhere.net",
    ) as started:
        yield started


@pytest.fixture
def context(chromium: Browser, issuer: Issuer) -> Iterator[BrowserContext]:
    """A fresh browser; the issuer knows Ada."""
    issuer.person, issuer.forger = {"sub": "1", "email": "ada@example.org", "email_verified": True}, None
    opened = chromium.new_context()
    yield opened
    opened.close()


def status(context: BrowserContext, served: Served, path: str) -> int:
    """What the server says to a request with the browser's cookies."""
    return context.request.get(f"{served.address}{path}").status


@contextmanager
def logged_in(context: BrowserContext, served: Served) -> Iterator[None]:
    """After the way through the login."""
    page = context.new_page()
    page.goto(served.address)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible(timeout=30_000)
    yield
    page.close()


def test_a_reader_logs_in_sees_pictures_logs_out_and_is_refused(context: BrowserContext, served: Served) -> None:
    page = context.new_page()
    page.goto(f"{served.address}/cases?split=test")
    way_in = page.get_by_role("button", name="Log in")
    expect(way_in).to_be_visible(timeout=30_000)
    assert page.get_by_role("button").count() == 1
    assert page.get_by_role("img").count() == 0
    assert status(context, served, served.picture) == 401

    way_in.click()
    expect(page.get_by_text(re.compile(f"Logged in as ada{JOINER}@example.org"))).to_be_visible(timeout=30_000)
    expect(page).to_have_url(f"{served.address}/cases?split=test")
    first = page.locator("a.card img").first
    expect(first).to_be_visible(timeout=30_000)
    assert first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert status(context, served, served.picture) == 200

    with page.expect_event("load"):  # "Log in" may be shown before the logout has taken the cookie
        page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=30_000)
    assert status(context, served, served.picture) == 401
    shown = page.evaluate(f"fetch('{served.picture}').then(answer => answer.status)")
    assert shown == 401, "the browser's cache still has the picture"


def test_an_email_address_without_access_gets_one_line_that_says_so(
    context: BrowserContext, served: Served, issuer: Issuer
) -> None:
    issuer.person = {"sub": "2", "email": "eve@elsewhere.net", "email_verified": True}
    with logged_in(context, served):
        page = context.pages[0]
        line = page.get_by_role("alert").inner_text()
        assert line.endswith(f"eve{JOINER}@elsewhere.net has no access to this dashboard; ask its administrator.")
        assert page.get_by_role("button").count() == 1
        assert status(context, served, served.picture) == 403


def test_an_address_that_the_issuer_has_not_verified_is_not_let_in(
    context: BrowserContext, served: Served, issuer: Issuer
) -> None:
    issuer.person = {"sub": "3", "email": "ada@example.org", "email_verified": False}
    with logged_in(context, served):
        assert status(context, served, served.picture) == 403


def test_a_single_address_of_another_domain_can_be_let_in(
    context: BrowserContext, served: Served, issuer: Issuer
) -> None:
    issuer.person = {"sub": "4", "email": "Guest@Elsewhere.net"}
    with logged_in(context, served):
        assert status(context, served, served.picture) == 200


def test_a_token_that_another_key_signed_logs_nobody_in(
    context: BrowserContext, served: Served, issuer: Issuer
) -> None:
    issuer.forger = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
    page = context.new_page()
    page.goto(served.address)
    with page.expect_response(lambda answer: "/oauth2callback" in answer.url):
        page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=30_000)
    assert status(context, served, served.picture) == 401


@pytest.mark.parametrize(
    "path",
    [
        *("/app/static/image/" + "0" * 64, "/app/static/artifact/1", "//app/static/artifact/1", "/media/x.png"),
        *("/component/x/index.html", "/_stcore/bidi-components/x", "/_stcore/metrics", "/_stcore/agent/openapi.json"),
    ],
)
def test_whatever_holds_data_is_refused_without_a_login(context: BrowserContext, served: Served, path: str) -> None:
    assert status(context, served, path) == 401


def test_an_upload_is_refused_without_a_login(context: BrowserContext, served: Served) -> None:
    answer = context.request.put(f"{served.address}/_stcore/upload_file/session/file", data=b"x")
    assert answer.status == 401


def test_an_upload_needs_the_pages_own_token_too(context: BrowserContext, served: Served) -> None:
    with logged_in(context, served):
        url = f"{served.address}/_stcore/upload_file/session/file"
        own = context.request.put(url, data=b"x", headers={"origin": served.address})
        assert (own.status, "xsrf" in own.text().lower()) == (403, True)
        other = context.request.put(url, data=b"x", headers={"origin": "https://elsewhere.example"})
        assert (other.status, other.text()) == (403, "requests from other sites are refused")


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        (None, "https://elsewhere.example", 403),
        (None, "http://localhost:3000", 403),
        ("rebound.example", "http://rebound.example", 400),
    ],
)
def test_a_socket_from_another_site_is_refused(served: Served, host: str | None, origin: str, expected: int) -> None:
    headers = {"Host": host} if host else {}
    with (
        pytest.raises(InvalidStatus) as caught,
        connect(f"ws://{served.host}/_stcore/stream", origin=Origin(origin), additional_headers=headers),
    ):
        pass
    assert caught.value.response.status_code == expected


def test_a_socket_from_our_own_page_is_not(served: Served) -> None:
    with connect(f"ws://{served.host}/_stcore/stream", origin=Origin(served.address)) as socket:
        assert socket.ping().wait(10)


@pytest.mark.parametrize(
    ("secret", "changes", "expected"),
    [
        (COOKIE_SECRET, {}, 200),
        ("0" * 64, {}, 401),
        (COOKIE_SECRET, {"origin": "https://elsewhere.net"}, 401),
        (COOKIE_SECRET, {"is_logged_in": False}, 401),
        (COOKIE_SECRET, {"email": "eve@example.org.elsewhere.net"}, 403),
    ],
    ids=["as it should be", "another key", "another address", "not logged in", "another domain"],
)
def test_a_cookie_counts_only_as_streamlit_signed_it(
    context: BrowserContext, served: Served, secret: str, changes: dict[str, object], expected: int
) -> None:
    claims = {"email": "ada@example.org", "is_logged_in": True, "origin": served.address} | changes
    value = URLSafeTimedSerializer(secret, salt="_streamlit_user").dumps(json.dumps(claims))
    context.add_cookies([{"name": "_streamlit_user", "value": value, "url": served.address}])
    assert status(context, served, served.picture) == expected


def test_pictures_are_kept_by_the_readers_browser_alone(context: BrowserContext, served: Served) -> None:
    with logged_in(context, served):
        answer = context.request.get(f"{served.address}{served.picture}")
        assert answer.headers["cache-control"].startswith("private,")


def test_no_secret_is_in_the_log_or_the_database(context: BrowserContext, served: Served, issuer: Issuer) -> None:
    with logged_in(context, served):
        assert len(issuer.handed_out) > 2
    cookies = [
        str(cookie["value"]) for cookie in context.cookies() if str(cookie["name"]).startswith("_streamlit_user")
    ]
    kept = served.log.read_text() + served.database.read_bytes().decode("latin-1")
    wal = Path(f"{served.database}-wal")
    kept += wal.read_bytes().decode("latin-1") if wal.exists() else ""
    hidden = [COOKIE_SECRET, issuer.client_secret, *issuer.handed_out, *cookies]
    assert [one for one in hidden if one in kept] == []
    assert "films" in kept
