"""Login: sign-in page, current user, and logout."""

import streamlit as st

from dashboard import identity, resources
from dashboard.components import wording
from dashboard.components.browser import login_redirect


def demand() -> None:
    """Show only the login to users who are not logged in, and one line to users without access."""
    if not identity.required():
        return
    claims = st.user.to_dict()
    if not claims.get("is_logged_in"):
        st.title("Pneumoscope")
        _offer()
        login_redirect.remember()
        st.stop()
    if not identity.admitted(claims, resources.settings().allowed_emails):
        who = wording.plain(identity.name(claims))
        st.error(f"{who} has no access to this dashboard; ask its administrator.", icon=":material/block:")
        _logout()
        st.stop()


def badge() -> None:
    """The logged-in user and a logout button; nothing if no login is required."""
    who = reader()
    if who is not None:
        st.caption(f"Logged in as {wording.plain(who)}")
        _logout()
        login_redirect.go()


def reader() -> str | None:
    """The e-mail address of the logged-in user (or the issuer's subject id if there is none); None without logins."""
    claims = st.user.to_dict() if identity.required() else {}
    return identity.name(claims) if claims.get("is_logged_in") else None


def _offer() -> None:
    names = identity.providers()
    for name in names:
        label = "Log in" if len(names) == 1 else f"Log in with {wording.plain(name)}"
        st.button(label, key=f"login-{name}", type="primary", on_click=st.login, args=(name,))


def _logout() -> None:
    st.button("Log out", on_click=st.logout)
