"""Access control by host, origin and login, and security headers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect
from streamlit import config
from streamlit.runtime.secrets import secrets_singleton

from dashboard import admission, identity, resources, server
from engine.errors import InputError

OURS = "http://127.0.0.1:8501"
AUTH = (
    '[auth]\nredirect_uri = "http://localhost:8501/oauth2callback"\ncookie_secret = "' + "s" * 32 + '"\n'
    'client_id = "a"\nclient_secret = "b"\nserver_metadata_url = "http://127.0.0.1:1/"\n'
)


@pytest.fixture(autouse=True)
def unset() -> Iterator[None]:
    """Settings and secrets are reloaded before and after each test."""
    for clear in (resources.settings.clear, identity.required.cache_clear, secrets_singleton._reset):
        clear()
    yield
    config.set_option("secrets.files", [])
    for clear in (resources.settings.clear, identity.required.cache_clear, secrets_singleton._reset):
        clear()


@pytest.fixture
def secrets_file(tmp_path: Path) -> Path:
    """Path of the secrets file, which does not exist."""
    file = tmp_path / "secrets.toml"
    config.set_option("secrets.files", [str(file)])
    return file


async def _echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("open")
    await socket.close()


def client(base_url: str = OURS) -> TestClient:
    """The server's own middleware before two endpoints that answer to everything."""
    routes = [
        *(Route(path, lambda _: PlainTextResponse("ok")) for path in ("/", "/cases", "/app/static/x", "/media/x")),
        Route("/_stcore/upload_file/x", lambda _: PlainTextResponse("ok"), methods=["GET", "PUT"]),
        WebSocketRoute("/_stcore/stream", _echo),
    ]
    return TestClient(Starlette(routes=routes, middleware=admission.middleware()), base_url=base_url)


@pytest.mark.parametrize("host", ["localhost:8501", "127.0.0.1", "[::1]:8501", "LOCALHOST"])
def test_this_machine_is_always_answered(host: str) -> None:
    assert client().get("/_stcore/upload_file/x", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["rebound.example", "127.0.0.1.rebound.example", "localhost@rebound.example", ""])
def test_a_name_that_was_bent_to_this_machine_is_refused(host: str) -> None:
    assert client().get("/_stcore/upload_file/x", headers={"host": host}).status_code == 400
    with pytest.raises(WebSocketDisconnect), client().websocket_connect("/_stcore/stream", headers={"host": host}):
        pass


def test_a_name_that_the_settings_allow_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PNEUMOSCOPE_ALLOWED_HOSTS", "films.example.org, *.clinic.example")
    opened = client()
    for host, expected in (("films.example.org", 200), ("a.clinic.example", 200), ("example.org", 400)):
        assert opened.get("/_stcore/upload_file/x", headers={"host": host}).status_code == expected


@pytest.mark.parametrize(
    "origin", ["https://elsewhere.example", "http://127.0.0.1:3000", "null", "http://localhost:8501"]
)
def test_an_upload_or_a_socket_from_another_site_is_refused(origin: str) -> None:
    headers = {"origin": origin}
    assert client().put("/_stcore/upload_file/x", headers=headers).status_code == 403
    with pytest.raises(WebSocketDisconnect), client().websocket_connect("/_stcore/stream", headers=headers):
        pass


def test_an_upload_and_a_socket_from_our_own_page_are_not() -> None:
    headers = {"origin": OURS}
    assert client().put("/_stcore/upload_file/x", headers=headers).status_code == 200
    headers["host"] = "127.0.0.1:8501"
    with client().websocket_connect("/_stcore/stream", headers=headers) as socket:
        assert socket.receive_text() == "open"


def test_streamlits_own_protection_is_on() -> None:
    assert config.get_option("server.enableXsrfProtection")
    assert config.get_option("server.enableCORS")
    assert not config.get_option("server.enableAgentApi")
    assert config.get_option("server.address") == "127.0.0.1"


def test_the_server_is_started_with_this_middleware() -> None:
    assert [one.cls for one in server.app._user_middleware] == [one.cls for one in admission.middleware()]


@pytest.mark.parametrize("path", ["/", "/cases", "/missing"])
def test_a_page_loads_nothing_from_other_hosts_and_cannot_be_framed(path: str) -> None:
    headers = client().get(path).headers
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["x-content-type-options"] == "nosniff"
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["connect-src"].split()[0] == "'self'"
    assert "unsafe" not in policy["script-src"]
    assert "sha256-" in policy["script-src"]


@pytest.mark.parametrize("path", ["/app/static/x", "/media/x", "/app/static/missing"])
def test_what_is_data_runs_nothing_and_is_shown_on_no_other_site(path: str) -> None:
    headers = client().get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


def test_every_route_of_ours_holds_data_and_so_asks_for_a_login() -> None:
    routes = []
    for route in server.app._user_routes:
        assert isinstance(route, Route)
        routes.append(route.path)
    assert len(routes) > 3
    assert [path for path in routes if admission.OPEN.fullmatch(path)] == []


def test_without_a_secrets_file_or_an_auth_section_nobody_has_to_log_in(secrets_file: Path) -> None:
    assert not identity.required()
    identity.required.cache_clear()
    secrets_file.write_text('word = "x"\n')
    assert not identity.required()


def test_with_an_auth_section_they_have_to(secrets_file: Path) -> None:
    secrets_file.write_text(AUTH)
    assert identity.required()
    assert identity.providers() == ["default"]
    assert client().put("/_stcore/upload_file/x").status_code == 401


def test_named_issuers_are_offered_by_name(secrets_file: Path) -> None:
    head, _, rest = AUTH.partition("client_id")
    secrets_file.write_text(f"{head}[auth.clinic]\nclient_id{rest}[auth.college]\nclient_id{rest}")
    assert identity.required()
    assert identity.providers() == ["clinic", "college"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[auth\n", "cannot be read"),
        ("[auth]\n", "32 random characters"),
        (AUTH.replace("s" * 32, "short"), "32 random characters"),
        (AUTH.replace("oauth2callback", "elsewhere"), "oauth2callback"),
        (AUTH.replace("client_secret", "other"), "client_secret"),
    ],
)
def test_secrets_that_cannot_be_used_stop_the_server_and_do_not_open_it(
    secrets_file: Path, text: str, said: str
) -> None:
    secrets_file.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        identity.required()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"email": "ada@example.org"}, True),
        ({"email": "ADA@Example.org", "email_verified": "true"}, True),
        ({"email": "guest@elsewhere.net"}, True),
        ({"email": "other@elsewhere.net"}, False),
        ({"email": "ada@sub.example.org"}, False),
        ({"email": "ada@notexample.org"}, False),
        ({"email": "example.org"}, False),
        ({"email": "eve@elsewhere.net@example.org"}, False),
        ({"email": "ada@example.org", "email_verified": False}, False),
        ({"email": "ada@example.org", "email_verified": "false"}, False),
        ({"email": "gu\u212aest@elsewhere.net"}, False),
        ({"sub": "example.org"}, False),
        ({}, False),
    ],
)
def test_an_address_is_let_in_by_itself_or_by_its_whole_domain(claims: dict[str, object], expected: bool) -> None:
    assert identity.admitted(claims, {"example.org", "guest@elsewhere.net"}) is expected


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        *(
            ({}, True),
            ({"email_verified": True}, True),
            ({"email_verified": None}, True),
            ({"email_verified": 1}, True),
        ),
        *(({"email_verified": False}, False), ({"email_verified": "false"}, False), ({"email_verified": 0}, False)),
    ],
)
def test_without_a_list_whoever_the_issuer_admits_is_let_in_but_for_unverified_addresses(
    claims: dict[str, object], expected: bool
) -> None:
    assert identity.admitted({"email": "ada@example.org", **claims}, frozenset()) is expected
