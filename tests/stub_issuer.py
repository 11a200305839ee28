"""An OpenID Connect issuer for tests: whoever asks is logged in at once, as told."""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.stub_server import served


@dataclass
class Issuer:
    """Who logs in next, and what was handed out; a code is good once, for the client that proves it asked."""

    client_id: str = "pneumoscope"
    client_secret: str = field(default_factory=lambda: secrets.token_hex(16))
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "1", "email": "ada@example.org"})
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"}))
    forger: RSAKey | None = None
    """Signs in the key's place, where given."""
    url: str = ""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    handed_out: list[str] = field(default_factory=list)
    """Codes and tokens: what nobody may find in a log."""

    def discovery(self) -> dict[str, Any]:
        """The issuer's description of itself."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser goes back to, with a fresh code."""
        code = secrets.token_urlsafe(24)
        self.codes[code] = asked
        self.handed_out.append(code)
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """The tokens for a code; None where code, client, address or proof is not right."""
        asked = self.codes.pop(form.get("code", ""), None)
        kind, _, encoded = authorization.partition(" ")
        client = base64.b64decode(encoded).decode() if kind == "Basic" else ""
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(verifier).decode().rstrip("=")
        if (
            asked is None
            or client != f"{self.client_id}:{self.client_secret}"
            or form.get("redirect_uri") != asked["redirect_uri"]
            or proof != asked.get("code_challenge")
        ):
            return None
        now = int(time.time())
        claims = {"iss": self.url, "aud": self.client_id, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        signed = jwt.encode({"alg": "RS256", "kid": "1"}, claims | self.person, self.forger or self.key)
        given = {"access_token": secrets.token_urlsafe(24), "id_token": signed, "token_type": "Bearer"}
        self.handed_out += [given["access_token"], given["id_token"]]
        return given


@contextmanager
def stub_issuer(issuer: Issuer) -> Iterator[Issuer]:
    """The issuer, served on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/.well-known/openid-configuration":
                self.reply(issuer.discovery())
            elif parts.path == "/keys":
                self.reply({"keys": [issuer.key.as_dict(private=False)]})
            elif parts.path == "/authorize":
                self.send_response(302)
                self.send_header("location", issuer.authorize(dict(parse_qsl(parts.query))))
                self.end_headers()
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            given = issuer.token(form, self.headers.get("authorization", ""))
            self.reply(given or {"error": "invalid_grant"}, 200 if given else 400)

        def reply(self, value: dict[str, Any], status: int = 200) -> None:
            raw = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    with served(Handler) as server:
        issuer.url = f"http://127.0.0.1:{server.server_port}"
        yield issuer
