"""Where a login is demanded: the way in, who is reading, and the way out."""

import streamlit as st

from dashboard import identity, resources
from dashboard.components import wording
from dashboard.components.browser import login_redirect


def demand() -> None:
    """Show nothing but the way in to whoever is not logged in, and one line to whoever is not let in."""
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
        st.error(f"{who} is not let in here; ask whoever runs this dashboard.", icon=":material/block:")
        _way_out()
        st.stop()


def badge() -> None:
    """Who is logged in, and the way out; nothing where no login is demanded."""
    who = reader()
    if who is not None:
        st.caption(f"Logged in as {wording.plain(who)}")
        _way_out()
        login_redirect.go()


def reader() -> str | None:
    """The e-mail address of who is logged in (their issuer's key where there is none); None without logins."""
    claims = st.user.to_dict() if identity.required() else {}
    return identity.name(claims) if claims.get("is_logged_in") else None


def _offer() -> None:
    names = identity.providers()
    for name in names:
        label = "Log in" if len(names) == 1 else f"Log in with {wording.plain(name)}"
        st.button(label, key=f"login-{name}", type="primary", on_click=st.login, args=(name,))


def _way_out() -> None:
    st.button("Log out", on_click=st.logout)
