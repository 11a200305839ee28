"""Phantoms: reproducible from the seed, written atomically, with findings where the ground truth says."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.datasets.curation import Inspected, curate, inspect
from engine.datasets.folders import list_folder
from engine.datasets.phantom_chest import Anatomy, Chest, Finding, opacity, radiograph
from engine.datasets.phantoms import is_phantoms, write_phantoms
from engine.errors import InputError
from engine.imaging.heat import ZONES
from engine.imaging.images import read_batch

COUNTS = {"train": (6, 8), "val": (1, 1), "test": (3, 5)}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn") / "phantoms"
    write_phantoms(root, seed=7, counts=COUNTS)
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_phantoms_are_the_same_from_the_same_seed_and_others_from_another(phantoms: Path, tmp_path: Path) -> None:
    write_phantoms(tmp_path / "again", seed=7, counts=COUNTS)
    assert contents(tmp_path / "again") == contents(phantoms)
    write_phantoms(tmp_path / "other", seed=8, counts={"train": (1, 1)})
    assert not set(contents(tmp_path / "other").values()) & set(contents(phantoms).values())


def test_drawing_again_changes_nothing_and_leaves_nothing_beside(phantoms: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in phantoms.rglob("*")}
    write_phantoms(phantoms, seed=7, counts=COUNTS)
    assert times == {path: path.stat().st_mtime_ns for path in phantoms.rglob("*")}
    assert [path.name for path in phantoms.parent.iterdir()] == ["phantoms"]


def test_a_folder_of_something_else_is_never_touched(phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for root, seed in ((tmp_path / "mine", 7), (phantoms, 8)):
        with pytest.raises(InputError, match="does not hold the phantoms of seed"):
            write_phantoms(root, seed=seed, counts=COUNTS)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert is_phantoms(phantoms) and not is_phantoms(tmp_path / "mine")


def test_drawing_killed_midway_goes_on_and_ends_the_same(phantoms: Path, tmp_path: Path) -> None:
    root = tmp_path / "phantoms"
    call = f"write_phantoms(pathlib.Path({str(root)!r}), seed=7, counts={COUNTS})"
    script = f"import pathlib; from engine.datasets.phantoms import write_phantoms; {call}"
    with subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[3]) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("[!.]*.jpeg")) and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert not root.exists()
    drawn = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("[!.]*.jpeg")}
    assert 0 < len(drawn) < 24
    write_phantoms(root, seed=7, counts=COUNTS)
    assert {k: v for k, v in contents(root).items() if "/." not in k} == contents(phantoms)
    kept = {path.name: path.stat().st_mtime_ns for path in root.rglob("*.jpeg")}
    assert all(kept[path.name] == mtime for path, mtime in drawn.items())


def test_phantoms_are_laid_out_like_the_kaggle_set_with_patients_in_one_split(phantoms: Path, tmp_path: Path) -> None:
    listing = list_folder(phantoms)
    assert (listing.layout, [file.path for file in listing.skipped]) == ("kaggle", ["truth.json"])
    files = [inspect(listing.root, record, artifacts=tmp_path, key=b"k") for record in listing.records]
    images = curate([file for file in files if isinstance(file, Inspected)], known_keys={}).images
    assert len(images) == sum(map(sum, COUNTS.values()))
    for split, pair in COUNTS.items():
        assert tuple(sum((i.split, i.label) == (split, label) for i in images) for label in (0, 1)) == pair
    assert all((image.cause is None) == (image.label == 0) for image in images)
    patients = {image.patient_key: image.split for image in images}
    assert all(patients[image.patient_key] == image.split for image in images)
    assert len(patients) < len(images)


def test_the_truth_names_every_image_and_its_cause(phantoms: Path) -> None:
    truth = json.loads((phantoms / "truth.json").read_text())["images"]
    assert truth.keys() == {record.path for record in list_folder(phantoms).records}
    for record in list_folder(phantoms).records:
        said = truth[record.path]
        assert said["cause"] == record.cause
        assert (said["zone"] in ZONES) == (said["cause"] == "bacterial")
        assert (said["severity"] > 0) == (record.label == 1)


def halves_and_thirds(field: np.ndarray) -> dict[str, float]:
    """Share of the field in each zone: the patient's right is the image's left."""
    blocks = [np.array_split(half, 3, axis=0) for half in np.array_split(field, 2, axis=1)]
    return dict(zip(ZONES, (float(block.sum() / field.sum()) for side in blocks for block in side), strict=True))


@pytest.mark.parametrize("zone", ZONES)
def test_a_bacterial_opacity_lies_in_its_zone_and_in_the_lung(zone: str) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        v, u = (axis.astype(np.float32) for axis in np.mgrid[-1:1:128j, -1:1:128j])
        chest = Chest(Anatomy.draw(rng), u, v)
        added = opacity(rng, chest, Finding("bacterial", zone, 1.0))
        shares = halves_and_thirds(added)
        assert max(shares, key=lambda name: shares[name]) == zone
        assert added[chest.lungs < 0.01].sum() < 0.02 * added.sum()


def test_a_viral_opacity_is_in_both_lungs_and_a_healthy_chest_has_none() -> None:
    rng = np.random.default_rng(0)
    v, u = (axis.astype(np.float32) for axis in np.mgrid[-1:1:128j, -1:1:128j])
    chest = Chest(Anatomy.draw(rng), u, v)
    shares = halves_and_thirds(opacity(rng, chest, Finding("viral", None, 1.0)))
    right = sum(share for name, share in shares.items() if name.startswith("right"))
    assert 0.35 < right < 0.75 and max(shares.values()) < 0.5
    assert not opacity(rng, chest, Finding()).any()


def test_severity_raises_the_contrast_and_nothing_else_about_the_picture() -> None:
    anatomy = Anatomy.draw(np.random.default_rng(1))
    drawn = [
        radiograph(np.random.default_rng(2), anatomy, Finding("bacterial", "right_lower", severity)).astype(float)
        for severity in (0.1, 0.5, 1.0)
    ]
    changed = [np.abs(picture - drawn[0]).mean() for picture in drawn]
    assert changed[0] < changed[1] < changed[2]
    assert np.abs(drawn[2] - drawn[0])[:, 140:].mean() < 0.2 * np.abs(drawn[2] - drawn[0])[:, :116].mean()


def test_phantoms_look_like_radiographs_in_brightness_and_are_all_different(phantoms: Path) -> None:
    pixels = read_batch([phantoms / record.path for record in list_folder(phantoms).records])
    assert ((pixels.mean(axis=(1, 2)) > 60) & (pixels.mean(axis=(1, 2)) < 170)).all()
    assert (pixels.std(axis=(1, 2)) > 35).all()
    lung, spine = pixels[:, 90:120, 60:80].mean(axis=(1, 2)), pixels[:, 90:120, 108:116].mean(axis=(1, 2))
    assert (spine > lung).all()
    assert len({picture.tobytes() for picture in pixels}) == len(pixels)


def test_the_cause_cannot_be_told_from_the_file_alone(phantoms: Path) -> None:
    """Size, mode and format must not reveal the label."""
    facts = set()
    for path in phantoms.rglob("*.jpeg"):
        with Image.open(path) as picture:
            facts.add((picture.size, picture.mode, picture.format))
    assert facts == {((256, 256), "L", "JPEG")}
