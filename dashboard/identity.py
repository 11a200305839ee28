"""Identity of a request: the login in Streamlit's signed cookie, and whether that user has access."""

import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from streamlit import auth_util, config
from streamlit.runtime.secrets import secrets_singleton
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from engine.errors import InputError

SHORTEST_SECRET = 32
WAY_OUT = "see docs/serving.md, then start the dashboard again"
Claims = Mapping[str, Any]
"""The claims of the id token."""


@lru_cache(maxsize=1)
def required() -> bool:
    """Whether logins are required, according to the secrets file when the server starts.

    Raises InputError, so that no page opens, if that file cannot be read or its [auth] section is incomplete; Streamlit
    itself treats an unreadable file as absent.
    """
    if not secrets_singleton.load_if_toml_exists():
        there = [file for file in config.get_option("secrets.files") if Path(file).exists()]
        if there:
            raise InputError(f"secrets file {there[0]} cannot be read, but may require logins; {WAY_OUT}")
        return False
    if secrets_singleton.get("auth") is None:
        return False
    section = auth_util.get_secrets_auth_section()
    if len(str(section.get("cookie_secret", ""))) < SHORTEST_SECRET:
        raise InputError(f"cookie_secret in [auth] needs {SHORTEST_SECRET} random characters or more; {WAY_OUT}")
    if not auth_util.get_validated_redirect_uri():
        raise InputError(f"redirect_uri in [auth] must be the dashboard's address and /oauth2callback; {WAY_OUT}")
    if not auth_util.is_authlib_installed():
        raise InputError("logins need the package Authlib; get it with: pip install -r requirements.txt")
    for provider in providers():
        try:
            auth_util.validate_auth_credentials(provider)
        except Exception as error:
            raise InputError(f"[auth] cannot be used: {' '.join(str(error).split())}; {WAY_OUT}") from error
    return True


def providers() -> list[str]:
    """The configured issuers by Streamlit's names: 'default', or those of the [auth.NAME] sections."""
    section = auth_util.get_secrets_auth_section()
    named = [name for name, value in section.items() if isinstance(value, Mapping) and name != "client_kwargs"]
    return named if named and "client_id" not in section else ["default"]


def claims_in(cookies: Mapping[str, str]) -> Claims | None:
    """The claims of the login in the cookies; None if it is missing, forged, expired or for another address."""
    secret = get_cookie_secret()

    def signed(name: str) -> bytes | None:
        return decode_signed_value(secret, name, cookies.get(name, "").encode("latin-1", "replace"))

    try:
        claims = json.loads(auth_util.get_cookie_with_chunks(signed, USER_COOKIE_NAME) or b"null")
    except ValueError:
        return None
    origin = auth_util.get_origin_from_redirect_uri()
    if not isinstance(claims, dict) or origin is None or claims.get("origin") != origin:
        return None
    return claims if claims.get("is_logged_in") is True else None


def name(claims: Claims) -> str:
    """The e-mail address or, if the issuer gives none, its subject id."""
    return str(claims.get("email") or claims.get("sub") or "unnamed user")


def admitted(claims: Claims, allowed: Collection[str]) -> bool:
    """Whether the address or its domain is in `allowed` (lower case); an empty `allowed` admits everyone whose address
    is not marked as unverified: such an address could belong to anyone."""
    verified = claims.get("email_verified")
    if verified is not None and str(verified).lower() not in ("true", "1"):
        return False
    if not allowed:
        return True
    address = str(claims.get("email") or "")
    if not address.isascii() or address.count("@") != 1:
        return False
    domain = address.lower().rpartition("@")[2]
    return not {address.lower(), domain, f"@{domain}"}.isdisjoint(allowed)
