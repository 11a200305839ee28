"""The demo job as a user runs it, on phantoms."""

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from db import session
from db.models import Dataset, Image, Metric, Report, Run
from engine.metrics.names import FURTHER, NAMES, measure
from jobs.demo import main

ROOT = Path(__file__).parents[2]
MADE = [
    "training_curves.png",
    "confusion_matrix.png",
    "confusion_matrix_normalised.png",
    "roc_curve.png",
    "sample_predictions.png",
    "failure_cases.png",
    "report_cards.png",
    "prompt_comparison.png",
    "predictions.csv",
    "metrics.csv",
    "all_reports.csv",
    "all_reports.jsonl",
    "precision_at_k.png",
    "retrieval_results.png",
    "text_retrieval_results.png",
    "tsne_embeddings.png",
    "test_embeddings.npy",
    "test_metadata.json",
    "test_index.faiss",
    "classification_report.md",
    "report_generation_report.md",
    "retrieval_report.md",
]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one demo on phantoms."""
    folder = tmp_path_factory.mktemp("demo")
    demo = [sys.executable, "-m", "jobs", "demo", "--no-serve", "--artifacts", str(folder)]
    done = subprocess.run(demo, cwd=ROOT, capture_output=True, text=True, timeout=560)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"^total +\d+\.\d$", done.stdout, re.MULTILINE)
    return folder


def rows(artifacts: Path, model: type, **where: object) -> list:  # type: ignore[type-arg]
    with session.transaction(session.connect(f"sqlite:///{artifacts / 'pneumoscope.db'}", read_only=True)) as db:
        return db.query(model).filter_by(**where).all()


@pytest.mark.timeout(600)
def test_the_demo_on_phantoms_runs_every_job_and_stores_what_they_found(artifacts: Path) -> None:
    runs = rows(artifacts, Run)
    assert [run.kind for run in runs] == [
        "ingest",
        "train",
        "predict",
        "report",
        "embed",
        "embed",
        "report",
        "duplicates",
        "evaluate",
        "map",
        "export",
    ]
    assert {run.status for run in runs} == {"finished"}
    assert rows(artifacts, Dataset)[0].synthetic
    assert len(rows(artifacts, Report)) == 80
    (auc,) = rows(artifacts, Metric, name="auc", split="test", slice="all")
    assert auc.value > 0.8 and auc.low < auc.value < auc.high
    assert auc.n == len(rows(artifacts, Image, split="test"))
    assert {measure(metric.name) for metric in rows(artifacts, Metric)} <= NAMES.keys() | FURTHER.keys()
    for name in MADE:
        assert (artifacts / "exports" / "phantoms" / name).stat().st_size > 0, name
    report = (artifacts / "exports" / "phantoms" / "classification_report.md").read_text()
    assert "SYNTHETIC" in report


@pytest.mark.timeout(600)
def test_a_second_demo_on_phantoms_does_nothing_again(artifacts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.stat().st_mtime_ns for file in (artifacts / "runs").rglob("*") if file.is_file()}
    assert main(["--no-serve", "--artifacts", str(artifacts)]) == 0
    told = capsys.readouterr().out
    assert len(re.findall(r"already done as run \d", told)) == 11
    assert before == {file: file.stat().st_mtime_ns for file in (artifacts / "runs").rglob("*") if file.is_file()}
    assert len(rows(artifacts, Run)) == 11


@pytest.mark.timeout(600)
def test_the_demo_on_phantoms_serves_the_dashboard_on_the_loopback_address_alone(artifacts: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    demo = [sys.executable, "-m", "jobs", "demo", "--artifacts", str(artifacts), "--port", str(port)]
    server = subprocess.Popen(demo, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    image = rows(artifacts, Image)[0]
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                url = f"http://127.0.0.1:{port}/app/static/thumbnail/{image.sha256}.webp"
                with urllib.request.urlopen(url, timeout=5) as answer:
                    assert answer.headers["Content-Type"] == "image/webp"
                break
            except OSError:
                assert time.monotonic() < deadline and server.poll() is None
                time.sleep(0.5)
        listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
        bound = {line.split()[1] for line in listening if line.split()[1].endswith(f":{port:04X}")}
        assert {address.split(":")[0] for address in bound} == {"0100007F"}
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)


def test_a_taken_port_is_named_before_any_job_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        assert main(["--artifacts", str(tmp_path), "--port", str(port)]) == 1
    assert f"port {port} is not available" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_recipe_is_named_before_any_job_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--no-serve", "--recipe", "vgg", "--artifacts", str(tmp_path)]) == 2
    assert "recipe 'vgg' is unknown; known: lite0" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_data_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--no-serve", "--data", str(tmp_path / "absent"), "--artifacts", str(tmp_path / "a")]) == 1
    assert capsys.readouterr().err.count("error:") == 1
