"""Downloading weights from a hub that the test serves: complete and correct, or not at all."""

import dataclasses
import errno
import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.pretrained import weights
from engine.pretrained.hub import TOKENS, token
from jobs import fetch_models
from tests.stub_hub import Hub, serving

REPO = weights.REGISTRY["clip"].repo


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub({REPO: {"open_clip_model.safetensors": os.urandom(300_000), "README.md": b"card"}})) as held:
        yield held


def fetch(hub_url: str, models: Path, *names: str, sha256: str | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m jobs fetch_models` in a process of its own, since the hub's address is read at import."""
    code = (
        "import dataclasses, sys; from engine.pretrained import weights; from jobs import fetch_models\n"
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
    return hashlib.sha256(hub.repos[REPO]["open_clip_model.safetensors"]).hexdigest()


def test_fetched_weights_are_whole_and_found_again(hub: Hub, tmp_path: Path) -> None:
    models = tmp_path / "models"
    done = fetch(hub.url, models, "clip", sha256=sha_of(hub))
    assert done.returncode == 0, done.stderr
    assert (models / "clip" / "open_clip_model.safetensors").read_bytes() == hub.repos[REPO][
        "open_clip_model.safetensors"
    ]
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
    hub.refuses = (403, {"X-Error-Code": "GatedRepo"})
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
    assert (models / "clip" / "open_clip_model.safetensors").read_bytes() == hub.repos[REPO][
        "open_clip_model.safetensors"
    ]
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
    assert fetch_models.main(["--models", str(models), "efficientnet_b3"]) == 0
    (models / "efficientnet_b3" / published.files[0]).write_bytes(b"damaged")
    assert fetch_models.main(["--models", str(models), "efficientnet_b3"]) == 1
    assert (
        f"has sha256 41f0c27c00e8, expected {published.sha256}; delete it to fetch it anew" in capsys.readouterr().err
    )
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


def test_models_that_write_reports_are_told_to_be_downloaded_by_that_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch_models.main(["--models", str(tmp_path / "models"), "medgemma"]) == 2
    assert capsys.readouterr().err == (
        "error: model 'medgemma' is downloaded when it first writes: python -m jobs report --model medgemma\n"
    )


def test_the_token_in_the_env_file_is_used_whatever_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in TOKENS:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    (tmp_path / ".env").write_text("HF_TOKEN=of-the-file\n")
    monkeypatch.chdir(tmp_path)
    assert fetch_models.main(["--models", str(tmp_path / "models")]) == 0
    assert "absent" in capsys.readouterr().out and token() == "of-the-file"


def test_a_folder_without_the_weights_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "notes.txt").write_text("mine")
    assert fetch_models.main(["--models", str(tmp_path), "clip"]) == 1
    assert "is there but holds no open_clip_model.safetensors" in capsys.readouterr().err
    assert (tmp_path / "clip" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            r"needs 784 MB, for which \S+ has no space left; free some, or",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "models"),
            r"cannot be written to \S+ \(Read-only file system\);",
        ),
        (
            OSError(),
            r"could not be fetched .* \(OSError\); .*, or copy open_clip_pytorch_model\.bin, open_clip_config\.js",
        ),
    ],
)
def test_why_weights_are_not_fetched_and_what_to_do_is_one_line(
    error: OSError, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(weights, "_from_hub", fail)
    with pytest.raises(InputError, match=f"^embedder 'biomedclip' {said}"):
        weights.fetch("biomedclip", models=tmp_path)


def test_a_refused_token_is_told_as_such_by_whatever_fetches(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in TOKENS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HUGGINGFACE_TOKEN", "hf_s3cret")
    hub.refuses = (401, {"X-Error-Message": "Invalid credentials in Authorization header"})
    done = fetch(hub.url, tmp_path / "models", "clip")
    assert "Bearer hf_s3cret" in hub.tokens
    assert "at a6f597a30f7b: the token in HUGGINGFACE_TOKEN is refused by the hub; put a valid one" in done.stderr


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "timed out"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc", "timed out"),
        (b"no protocol\r\n\r\n", "no protocol"),
    ],
)
def test_a_server_that_falls_silent_or_speaks_otherwise_is_given_up(
    answer: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/weights.pth"
        threading.Thread(target=_say, args=(server, answer), daemon=True).start()
        monkeypatch.setattr(weights, "SILENCE", 0.5)
        monkeypatch.setitem(
            weights.REGISTRY, "resnet50", dataclasses.replace(weights.REGISTRY["resnet50"], url=address)
        )
        with pytest.raises(
            InputError, match=rf"'resnet50' could not be fetched from {address} \(.*{said}.*\); connect"
        ):
            weights.fetch("resnet50", models=tmp_path / "models")
    assert not list((tmp_path / "models").iterdir())


def _say(server: socket.socket, answer: bytes) -> None:
    """Answer one request, and keep the connection open for a while."""
    connection, _ = server.accept()
    with connection:
        connection.recv(10_000)
        connection.sendall(answer)
        connection.recv(10_000)


def test_a_file_that_breaks_off_is_told_with_how_far_it_came(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.break_off = True
    address = f"{hub.url}/{REPO}/resolve/main/open_clip_model.safetensors"
    monkeypatch.setitem(weights.REGISTRY, "resnet50", dataclasses.replace(weights.REGISTRY["resnet50"], url=address))
    with pytest.raises(InputError, match=r"\(it broke off after 150,000 of 300,000 bytes\)"):
        weights.fetch("resnet50", models=tmp_path / "models")
    assert not list((tmp_path / "models").iterdir())


def test_a_full_disk_is_not_told_as_weights_that_are_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **how: object) -> None:
        if not how.get("local_files_only"):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(weights, "_from_hub", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        weights.locate("clip", models=tmp_path)
    assert raised.value.errno == errno.ENOSPC
