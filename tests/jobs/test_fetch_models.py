"""Fetching weights from a hub that the test serves: whole or not at all, the right bytes or none."""

import dataclasses
import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engine import weights
from jobs import fetch_models

REVISION = "a6f597a30f7b82c51704746581f9a4e41421e878"
REPO = weights.REGISTRY["clip"].repo


@dataclass
class Hub:
    """What the served hub holds, and what was asked of it."""

    files: dict[str, bytes]
    url: str = ""
    gated: bool = False
    break_off: bool = False
    """Send half of each large file and close the connection."""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def hub() -> Iterator[Hub]:
    held = Hub({"open_clip_model.safetensors": os.urandom(300_000), "README.md": b"card"})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            held.asked.append(f"{self.command} {self.path}")
            path = self.path.partition("?")[0]
            if held.gated:
                return self.answer(b"{}", 403, {"X-Error-Code": "GatedRepo"})
            if path == f"/api/models/{REPO}/revision/{REVISION}":
                siblings = [{"rfilename": name} for name in held.files]
                return self.answer(json.dumps({"id": REPO, "sha": REVISION, "siblings": siblings}).encode())
            if path == f"/api/models/{REPO}/tree/{REVISION}":
                tree = [
                    {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}  # noqa: S324  # git's
                    for name, data in held.files.items()
                ]
                return self.answer(json.dumps(tree).encode())
            name = path.removeprefix(f"/{REPO}/resolve/{REVISION}/")
            if name in held.files:
                tag = hashlib.sha256(held.files[name]).hexdigest()
                return self.answer(held.files[name], 200, {"X-Repo-Commit": REVISION, "ETag": f'"{tag}"'})
            return self.answer(b"{}", 404, {"X-Error-Code": "EntryNotFound"})

        def answer(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                broken = held.break_off and len(body) > 10_000
                self.wfile.write(body[: len(body) // 2] if broken else body)
                self.close_connection = broken

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield held
    server.shutdown()
    server.server_close()


def fetch(hub_url: str, models: Path, *names: str, sha256: str | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m jobs fetch_models` in a process of its own, since the hub's address is read at import."""
    code = (
        "import dataclasses, sys; from engine import weights; from jobs import fetch_models\n"
        f"sha = {sha256!r}\n"
        "if sha: weights.REGISTRY['clip'] = dataclasses.replace(weights.REGISTRY['clip'], sha256=sha)\n"
        f"sys.exit(fetch_models.main(['--models', {str(models)!r}, *{names!r}]))"
    )
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub_url,
        "HF_HOME": str(models.parent / "hf"),
        "TORCH_HOME": str(models.parent / "torch"),
    }
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def sha_of(hub: Hub) -> str:
    return hashlib.sha256(hub.files["open_clip_model.safetensors"]).hexdigest()


def test_fetched_weights_are_whole_and_found_again(hub: Hub, tmp_path: Path) -> None:
    models = tmp_path / "models"
    done = fetch(hub.url, models, "clip", sha256=sha_of(hub))
    assert done.returncode == 0, done.stderr
    assert (models / "clip" / "open_clip_model.safetensors").read_bytes() == hub.files["open_clip_model.safetensors"]
    assert [path.name for path in models.iterdir()] == ["clip"]
    assert [path.name for path in (models / "clip").iterdir()] == ["open_clip_model.safetensors"]  # no card, no cache
    asked = len(hub.asked)
    again = fetch(hub.url, models, "clip", sha256=sha_of(hub))
    assert (again.returncode, len(hub.asked)) == (0, asked)
    assert str(models / "clip") in fetch(hub.url, models).stdout


def test_bytes_that_are_not_the_published_ones_are_thrown_away(hub: Hub, tmp_path: Path) -> None:
    done = fetch(hub.url, tmp_path / "models", "clip")
    assert done.returncode == 1
    assert f"has sha256 {sha_of(hub)[:12]}, expected e6d1bd7789aa" in done.stderr
    assert not list((tmp_path / "models").iterdir())


def test_a_gated_repository_is_one_line(hub: Hub, tmp_path: Path) -> None:
    hub.gated = True
    done = fetch(hub.url, tmp_path / "models", "clip")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("error: embedder 'clip' could not be fetched from timm/")
    assert not (tmp_path / "models").exists()


def test_a_connection_that_breaks_off_leaves_no_model_and_the_next_fetch_ends_it(hub: Hub, tmp_path: Path) -> None:
    models = tmp_path / "models"
    hub.break_off = True
    done = fetch(hub.url, models, "clip", sha256=sha_of(hub))
    assert done.returncode == 1, done.stdout
    assert done.stderr.strip().splitlines()[-1].startswith("error: embedder 'clip' could not be fetched from timm/")
    assert not (models / "clip").exists()
    hub.break_off = False
    assert fetch(hub.url, models, "clip", sha256=sha_of(hub)).returncode == 0
    assert (models / "clip" / "open_clip_model.safetensors").read_bytes() == hub.files["open_clip_model.safetensors"]
    assert [path.name for path in models.iterdir()] == ["clip"]


@pytest.mark.parametrize("name", [name for name, each in weights.REGISTRY.items() if each.repo])
def test_no_answer_is_one_line_at_once_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    done = fetch("http://127.0.0.1:9", tmp_path / "models", name)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert f"embedder '{name}' could not be fetched" in done.stderr
    assert "connect this machine, or copy" in done.stderr
    assert not (tmp_path / "models").exists()


def test_one_file_weights_are_fetched_by_address_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    source, models = tmp_path / "published.pth", tmp_path / "models"
    source.write_bytes(b"weights")
    published = dataclasses.replace(
        weights.REGISTRY["efficientnet_b3"], url=source.as_uri(), sha256=hashlib.sha256(b"weights").hexdigest()[:8]
    )
    monkeypatch.setitem(weights.REGISTRY, "efficientnet_b3", published)
    assert fetch_models.main(["--models", str(models), "efficientnet_b3"]) == 0
    assert (models / "efficientnet_b3" / published.files[0]).read_bytes() == b"weights"
    monkeypatch.setitem(weights.REGISTRY, "efficientnet_b3", dataclasses.replace(published, sha256="00000000"))
    assert fetch_models.main(["--models", str(tmp_path / "others"), "efficientnet_b3"]) == 1
    assert "invalid hash value" in capsys.readouterr().err
    assert not list((tmp_path / "others").iterdir())


def test_unknown_models_are_named_before_anything_is_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch_models.main(["--models", str(tmp_path / "models"), "clip", "clop"]) == 2
    assert (
        capsys.readouterr().err
        == "error: model 'clop' is unknown; known: efficientnet_b3, resnet50, clip, biomedclip\n"
    )


def test_a_folder_without_the_weights_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "notes.txt").write_text("mine")
    assert fetch_models.main(["--models", str(tmp_path), "clip"]) == 1
    assert "is there but holds no open_clip_model.safetensors" in capsys.readouterr().err
    assert (tmp_path / "clip" / "notes.txt").read_text() == "mine"


def test_a_full_disk_is_not_told_as_weights_that_are_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **how: object) -> None:
        if not how.get("local_files_only"):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(weights, "_from_hub", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        weights.locate("clip", models=tmp_path)
    assert raised.value.errno == errno.ENOSPC
