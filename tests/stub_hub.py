"""A Hugging Face hub with a few small repositories, which answers what huggingface_hub asks for and counts it."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.stub_server import served

COMMIT = "a6f597a30f7b82c51704746581f9a4e41421e878"


@dataclass
class Hub:
    """What the hub holds, all at one commit, how it refuses, and what was asked of it."""

    repos: dict[str, dict[str, bytes]]
    """Repository -> file -> what is in it."""
    commit: str = COMMIT
    refuses: tuple[int, dict[str, str]] | None = None
    """Status and headers of every answer, where it gives nothing else."""
    break_off: bool = False
    """Send half of each large file and close the connection."""
    url: str = ""
    asked: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    """What it was shown as a token."""

    def holds(self, repo: str, folder: Path) -> None:
        """Take a folder's files as a repository."""
        files = (file for file in folder.rglob("*") if file.is_file())
        self.repos[repo] = {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        if self.refuses is not None:
            return (*self.refuses, b"{}")
        found = re.fullmatch("/api/models/(.+?)(/revision/[^/]+|/tree/[^/]+)?", path)
        if found and found[1] in self.repos:
            files = self.repos[found[1]]
            if (found[2] or "").startswith("/tree/"):
                return 200, {}, json.dumps([_entry(name, data) for name, data in files.items()]).encode()
            siblings = [{"rfilename": name} for name in files]
            return 200, {}, json.dumps({"id": found[1], "sha": self.commit, "siblings": siblings}).encode()
        found = re.fullmatch(f"/(.+?)/resolve/(?:main|{self.commit})/(.+)", path)
        data = self.repos.get(found[1], {}).get(found[2]) if found else None
        if data is not None:
            tag = hashlib.sha256(data).hexdigest()
            return 200, {"X-Repo-Commit": self.commit, "ETag": f'"{tag}"'}, data
        return 404, {"X-Error-Code": "EntryNotFound" if found and found[1] in self.repos else "RepoNotFound"}, b"{}"


def _entry(name: str, data: bytes) -> dict[str, object]:
    return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}  # noqa: S324  # git's


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub at its `url`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            hub.tokens.add(self.headers["Authorization"])
            status, headers, body = hub.answer(self.path.partition("?")[0])
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                broken = hub.break_off and len(body) > 10_000
                self.wfile.write(body[: len(body) // 2] if broken else body)
                self.close_connection = broken

        def log_message(self, format: str, *args: object) -> None:
            pass

    with served(Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        yield hub
