"""The dashboard as a process of its own, over a sample, with the settings and secrets of a test."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from db import schema
from db import session as database
from engine.retrieval.embedders import Embedder
from tests.sample import Film, build

REPOSITORY = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Served:
    """Its address, log, database, and a picture that it serves."""

    address: str
    log: Path
    database: Path
    picture: str
    """URL path of an image's thumbnail."""

    @property
    def host(self) -> str:
        """Host and port."""
        return self.address.removeprefix("http://")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(
    folder: Path,
    films: list[Film],
    *,
    port: int | None = None,
    reported: int = 5,
    embedder: Embedder | None = None,
    **settings: str,
) -> Iterator[Served]:
    """The dashboard over a sample in `folder`, see sample.build; settings: environment variables on top of this
    process's."""
    artifacts, file = folder / "artifacts", folder / "pneumoscope.db"
    artifacts.mkdir()
    engine = database.connect(f"sqlite:///{file}")
    schema.upgrade(engine)
    build(engine, artifacts, folder / "films", pictures=films, reported=reported, embedder=embedder)
    engine.dispose()
    with running(folder, port=port or free_port(), **settings) as served:
        yield served


@contextmanager
def running(folder: Path, *, port: int, **settings: str) -> Iterator[Served]:
    """The dashboard over what `serve` left in `folder`."""
    artifacts, file, log = folder / "artifacts", folder / "pneumoscope.db", folder / "server.log"
    environment = {**os.environ, "PNEUMOSCOPE_ARTIFACTS": str(artifacts), "DATABASE_URL": f"sqlite:///{file}"}
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/server.py", "--server.port", str(port)]
    with log.open("w") as stream:
        server = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment | settings, stdout=stream, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    thumbnail = next((artifacts / "thumbnails").rglob("*.webp"))
    try:
        _wait(address, server, log)
        yield Served(address, log, file, f"/app/static/thumbnail/{thumbnail.name}")
    finally:
        server.terminate()
        server.wait(10)


def _wait(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(300):
        assert server.poll() is None, log.read_text()
        try:
            with urlopen(f"{address}/_stcore/health"):  # noqa: S310  # our own server, http by construction
                return
        except URLError:
            time.sleep(0.2)
    raise AssertionError(f"the dashboard did not answer within a minute: {log.read_text()}")
