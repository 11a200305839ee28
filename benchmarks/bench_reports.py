"""Reports: 64 requests to an endpoint that answers in 200 ms, in parallel and one by one; and a model's batches.

The model is a tiny LLaVA with random weights, so the ratio of batches to single images reflects its overhead only.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measure import peak_memory, ratio, seconds
from PIL import Image
from transformers import logging

from engine.reporting.generators import Case, Generated, Options, ReportGenerator, load
from engine.reporting.prompts import STRATEGIES
from tests.generated import in_order
from tests.tiny_models import tiny_llava

REQUESTS = 64
PROMPT = STRATEGIES["basic"]


def texts(generator: ReportGenerator, cases: list[Case], *, at_once: int) -> list[str]:
    """The reports' texts, generated from `at_once` cases at a time."""
    batches = [cases[start : start + at_once] for start in range(0, len(cases), at_once)]
    reports = [report for batch in batches for report in in_order(generator.generate(batch, PROMPT))]
    return [report.text for report in reports if isinstance(report, Generated)]


@contextmanager
def endpoint() -> Iterator[str]:
    """The URL of a stub endpoint in a process of its own, like a real server."""
    command = [sys.executable, "-m", "tests.stub_endpoint", "--seconds", "0.2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stub:
        assert stub.stdout is not None
        yield stub.stdout.readline().strip()
        stub.communicate()


def phantom(rng: np.random.Generator) -> np.ndarray:
    """A smooth image, like a radiograph: uint8 (224, 224)."""
    coarse = Image.fromarray(rng.integers(0, 256, (14, 14), dtype=np.uint8))
    return np.asarray(coarse.resize((224, 224), Image.Resampling.BICUBIC))


def main() -> None:
    """Print both ratios, and whether batches give the same text."""
    rng = np.random.default_rng(0)
    cases = [Case(0.9, 0.5, pixels=phantom(rng)) for _ in range(REQUESTS)]
    with endpoint() as url:
        generator = load(f"openai:stub@{url}")
        slow = seconds(partial(texts, generator, cases, at_once=1))
        quick = seconds(partial(texts, generator, cases, at_once=generator.batch_size))
    print(
        f"endpoint, {REQUESTS} requests: one by one {slow:.1f} s, in parallel {quick:.1f} s, ratio {slow / quick:.1f}x"
    )
    logging.set_verbosity_error()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        tiny_llava(Path(folder) / "llava")
        model = load("llava", Options(models=Path(folder), max_tokens=32, batch_size=8))
        found: dict[str, list[str]] = {}
        ratio(
            "a tiny LLaVA's reports, batches of 8",
            lambda: found.update(plain=texts(model, cases, at_once=1)),
            lambda: found.update(ours=texts(model, cases, at_once=model.batch_size)),
            unit="reports",
            count=len(cases),
        )
    print(f"same text: {found['plain'] == found['ours']}; {peak_memory()}")


if __name__ == "__main__":
    main()
