"""A dataset of synthetic radiographs with known ground truth, for when no real images are at hand.

Phantoms show that the software works; nothing measured on them says anything about patients.
"""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.datasets.phantom_chest import Anatomy, Finding, radiograph
from engine.errors import InputError
from engine.files import write_whole
from engine.imaging.heat import ZONES
from engine.imaging.images import parallel

COUNTS = {"train": (90, 150), "val": (8, 8), "test": (36, 60)}
"""Number of (normal, pneumonia) images in each split."""
TRUTH = "truth.json"
RECIPE = 1
"""Version of the drawing code; incremented when the same seed gives different images."""
NAMES = {"bacterial": "bacteria", "viral": "virus"}


@dataclass(frozen=True)
class _Planned:
    """One image to draw."""

    path: str
    anatomy: Anatomy
    finding: Finding
    rng: np.random.Generator


def write_phantoms(root: Path, *, seed: int, counts: Mapping[str, tuple[int, int]] = COUNTS) -> None:
    """Draw a dataset into the folder `root`, laid out and named like the Kaggle set.

    Its truth.json gives every image's cause, zone and severity (see phantom_chest.Finding). The folder appears
    atomically; an interrupted call is resumed by the next one. Nothing is done if `root` already holds the phantoms of
    this seed and these counts. Raises InputError if it holds anything else.
    """
    asked = {"phantoms": RECIPE, "seed": seed, "counts": {split: list(pair) for split, pair in counts.items()}}
    if root.exists():
        there = _truth(root)
        if {key: there.get(key) for key in asked} != asked:
            raise InputError(f"folder {root} does not hold the phantoms of seed {seed}; move it away")
        return
    marks = "-".join(str(count) for pair in counts.values() for count in pair)
    drawing = root.with_name(f".{root.name}-{RECIPE}-{seed}-{marks}")
    plan = list(_plan(seed, counts))
    missing = [image for image in plan if not (drawing / image.path).exists()]
    for image, data in zip(missing, parallel(_draw, missing), strict=True):
        write_whole(drawing / image.path, data)
    findings = {image.path: asdict(image.finding) for image in plan}
    write_whole(drawing / TRUTH, json.dumps({**asked, "images": findings}, indent=1))
    drawing.rename(root)


def _draw(image: _Planned) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(radiograph(image.rng, image.anatomy, image.finding)).save(encoded, "JPEG", quality=92)
    return encoded.getvalue()


def is_phantoms(folder: Path) -> bool:
    """Whether `write_phantoms` made this folder."""
    return "phantoms" in _truth(folder)


def draw_finding(rng: np.random.Generator, *, cause: str | None) -> Finding:
    """A random finding of this cause; healthy for None. Severity is uniform, so that some findings are missed."""
    if cause is None:
        return Finding()
    zone = str(rng.choice(ZONES)) if cause == "bacterial" else None
    return Finding(cause, zone, round(float(rng.uniform(0.4, 1.3)), 3))


def _plan(seed: int, counts: Mapping[str, tuple[int, int]]) -> Iterator[_Planned]:
    """Every image to draw; each patient is in one split, and about one in three has several images.

    Each image has its own random generator, so that it can be drawn independently of the others.
    """
    patient = 0
    for split, normal_and_pneumonia in counts.items():
        for label, count in enumerate(normal_and_pneumonia):
            left = count
            while left > 0:
                patient += 1
                person = np.random.default_rng([seed, patient])
                anatomy, cause = Anatomy.draw(person), str(person.choice(list(NAMES), p=[0.6, 0.4]))
                images = min(left, int(person.choice([1, 2, 3], p=[0.65, 0.25, 0.10])))
                for number in range(1, images + 1):
                    rng = np.random.default_rng([seed, patient, number])
                    path = f"{split}/NORMAL/IM-{patient:04d}-{number:04d}.jpeg"
                    if label:
                        path = f"{split}/PNEUMONIA/person{patient}_{NAMES[cause]}_{10 * patient + number}.jpeg"
                    yield _Planned(path, anatomy, draw_finding(rng, cause=cause if label else None), rng)
                left -= images


def _truth(folder: Path) -> dict[str, Any]:
    """The contents of truth.json in `folder`; {} if there is none."""
    try:
        content = json.loads((folder / TRUTH).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
