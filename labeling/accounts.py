"""Accounts for annotators, made as an invitation would make them."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

import httpx

from labeling.client import LabelStudioError, Login

__all__ = ["Account", "add_annotator"]

_CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
_PROBLEM = re.compile(r'class="field_errors?"[^>]*>\s*(?:<[^>]+>\s*)*([^<]+)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Account:
    """A person who can log in; the password is known only here, once."""

    annotator: str
    """The pseudonym under which their answers are kept, `annotator-7`."""
    login: Login


def add_annotator(lead: Login, email: str, password: str | None = None, timeout: float = 60.0) -> Account:
    """Make an account through the server's invitation link.

    Args:
        lead: somebody who may invite.
        password: a random one when None.

    Raises:
        LabelStudioError: no such server, an address that is not one or has an account already.
    """
    password = password or secrets.token_urlsafe(9)
    key = {"Authorization": f"Token {lead.token}"}
    try:
        with httpx.Client(base_url=lead.url, timeout=timeout, follow_redirects=True) as browser:
            invite = browser.get("/api/invite", headers=key)
            if invite.status_code != 200:
                raise LabelStudioError(
                    f"{lead.url} does not let this API key invite people ({invite.status_code})"
                )
            form = f"/user/signup/?token={invite.json()['token']}"
            csrf = _CSRF.search(browser.get(form).text)
            if not csrf:
                raise LabelStudioError(f"{lead.url}{form}: no form for a new account")
            values = {"csrfmiddlewaretoken": csrf[1], "email": email, "password": password}
            answer = browser.post(form, data=values, headers={"Referer": f"{lead.url}{form}"})
            me = browser.get("/api/current-user/whoami")
            if me.status_code != 200 or me.json().get("email", "").lower() != email.lower():
                problem = _PROBLEM.search(answer.text)
                reason = problem[1].strip() if problem else "is there an account of this address already?"
                raise LabelStudioError(f"email: {email!r}: no account was made: {reason}")
            token = browser.get("/api/current-user/token").json().get("token", "")
    except httpx.TransportError as error:
        raise LabelStudioError(
            f"no Label Studio at {lead.url} ({error}); start one: make labelstudio"
        ) from error
    return Account(f"annotator-{me.json()['id']}", Login(lead.url, token, email, password))
