"""python -m jobs ingest FOLDER [--name NAME]: add a folder of radiographs to the database, with thumbnails.

FOLDER holds train|val|test/NORMAL|PNEUMONIA, or images with a labels.csv (columns file and label; optionally split,
patient, cause, and the attributes that define subgroups: sex, age, view, site, device), or unlabelled images. Formats
are JPEG, PNG, TIFF, DICOM and the like. Unusable files are skipped and listed with the reason.
"""

import argparse
import os
import secrets
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from db import session, tallies, writes
from db.models import Dataset, Image, Run, SkippedFile, now
from db.queries import datasets, runs
from engine.commands import moved
from engine.datasets.curation import Curated, CuratedImage, Inspected, curate, inspect
from engine.datasets.folders import SHEET_COLUMNS, Listing, Skipped, list_folder
from engine.datasets.phantoms import is_phantoms
from engine.imaging.attributes import NAME, counted
from engine.imaging.images import parallel, thumbnail_path
from engine.labels import NAMES
from jobs.command import Context, JobError, UsageError, command, named_folder, open_context, parser, positive
from jobs.run import ActiveRun, Work

EXAMPLES = 5
MANY, LARGE_SHARE = 20, 0.1
"""In a dataset of at least MANY images, one patient with both labels is unlikely to have more than LARGE_SHARE."""


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "ingest")
    options.add_argument("folder", type=named_folder, metavar="FOLDER", help="folder of radiographs")
    options.add_argument("--name", help="name of the dataset (default: the folder's name)")
    options.add_argument("--synthetic", action="store_true", help="mark everything made from it as SYNTHETIC")
    options.add_argument(
        "--attributes",
        type=attribute_names,
        default=(),
        metavar="COLUMN,...",
        help="additional columns of labels.csv to store as attributes",
    )
    options.add_argument("--workers", type=positive, metavar="N", help="number of threads (default: one per core)")
    options.add_argument(
        "--prune",
        action="store_true",
        help="forget images that are no longer in the folder, with everything that depends on them",
    )
    args = options.parse_args(argv)
    listing = list_folder(args.folder, further=args.attributes)
    name = listing.root.name if args.name is None else args.name
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise UsageError("the dataset's name must have 1 to 200 printable characters; give one with --name")
    synthetic = args.synthetic or is_phantoms(listing.root)
    context = open_context(args)
    dataset = _existing(context, name, listing.root, synthetic=synthetic)
    latest = _latest(context, dataset)
    if latest is not None and _holds(context, latest, listing, attributes=args.attributes, prune=args.prune):
        with session.transaction(context.engine) as db:
            db.get_one(Run, latest.id).current_since = now()
        print(f"ingest: already done as run {latest.id}")
        return 0
    config = {"name": name, "folder": str(listing.root), "synthetic": synthetic, "prune": args.prune}
    work = Work(
        kind="ingest",
        config=config | {"attributes": list(args.attributes)},
        # The previous ingest is part of the fingerprint: a folder that changed and changed back is a new run.
        inputs=f"{listing.fingerprint} after {latest.id if latest else 'nothing'}",
        dataset_id=dataset.id if dataset else None,
    )
    run = ActiveRun.claim(context, work)
    if run.already_finished:
        print(f"ingest: already done as run {run.id}")
        return 0
    with run:
        ingest(run, listing, workers=args.workers)
    _print_summary(run, name)
    return 0


def attribute_names(value: str) -> tuple[str, ...]:
    """An argparse type: comma-separated columns of labels.csv, in any case."""
    names = tuple(dict.fromkeys(name.strip().lower() for name in value.split(",")))
    for name in names:
        if NAME.fullmatch(name) is None or name in SHEET_COLUMNS:
            raise argparse.ArgumentTypeError(
                f"'{name}' cannot be an attribute: its name must have 1 to 17 letters, digits, spaces, - or _, begin "
                f"with a letter, and be none of {', '.join(SHEET_COLUMNS)}"
            )
    return names


def ingest(run: ActiveRun, listing: Listing, *, workers: int | None) -> None:
    """Read every file, then store images and skipped files in one transaction. Raises JobError if none is usable."""
    reading = partial(inspect, listing.root, artifacts=run.context.artifacts, key=secrets.token_bytes(32))
    found = run.track(
        parallel(reading, listing.records, workers=workers), stage="reading images", total=len(listing.records)
    )
    decoded: list[Inspected] = []
    skipped = list(listing.skipped)
    for outcome in found:
        if isinstance(outcome, Inspected):
            decoded.append(outcome)
        else:
            skipped.append(outcome)
    with session.reading(run.context.engine) as db:
        dataset = datasets.find(db, run.config["name"])
        known = [] if dataset is None else datasets.keys(db, dataset.id)
    curated = curate(decoded, known_keys={row.sha256: row.patient_key for row in known})
    skipped += curated.skipped
    if not curated.images:
        with session.transaction(run.context.engine) as db:
            _store_skipped(db, run.id, skipped, {})
        counts = _reasons(skipped)
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts.items())
        firsts = (next(file for file in skipped if file.reason == reason) for reason in counts)
        first = _shown("; ".join(f"{file.path}: {file.detail}" for file in firsts))
        raise JobError(
            f"folder {listing.root} holds no usable image ({reasons}), for example {first}; "
            f"the Runs page lists all of them under run {run.id}"
        )
    if dataset is None:
        for other in _gone(run.context, curated.images):
            print(f"note: another dataset has these images: {moved(other.root, other.name)}", file=sys.stderr)
    os.sync()  # thumbnails reach the disk before the rows that refer to them
    run.summary = _summary(run, listing, curated, skipped, {row.sha256: row.label for row in known})
    _store(run, listing, curated, skipped)


def _store(run: ActiveRun, listing: Listing, curated: Curated, skipped: Sequence[Skipped]) -> None:
    """Store all rows in one transaction: other readers, also after a crash, see the whole ingest or none of it."""
    name, synthetic = run.config["name"], run.config["synthetic"]
    with session.transaction(run.context.engine) as db:
        row = {"name": name, "root": str(listing.root), "synthetic": synthetic}
        writes.upsert(db, Dataset, [row], unique=("name",), update=False)
        dataset = datasets.find(db, name)
        assert dataset is not None
        writes.hold(db, dataset.id)
        _refuse(dataset, listing.root, synthetic=synthetic)  # another ingest may have just created it
        dataset.root = str(listing.root)
        rows = [_row(image, dataset.id) for image in curated.images]
        writes.upsert(db, Image, rows, unique=("dataset_id", "sha256"))
        writes.follow_patients(db, dataset.id)
        ids = {row.sha256: row.id for row in datasets.keys(db, dataset.id)}
        writes.attributes(db, {ids[image.sha256]: dict(image.attributes) for image in curated.images})
        if run.config["prune"]:
            gone = ids.keys() - {image.sha256 for image in curated.images}
            writes.forget_images(db, [ids[sha256] for sha256 in gone])
        tallies.dataset(db, dataset.id)
        run.summary["patients_across"] = dataset.patients_across
        _store_skipped(db, run.id, skipped, ids)
        db.get_one(Run, run.id).dataset_id = dataset.id


def _row(image: CuratedImage, dataset_id: int) -> dict[str, Any]:
    return {name: value for name, value in vars(image).items() if name != "attributes"} | {"dataset_id": dataset_id}


def _store_skipped(db: Any, run_id: int, skipped: Sequence[Skipped], ids: dict[str, int]) -> None:
    writes.clear(db, SkippedFile, run_id)
    rows = [
        {
            "run_id": run_id,
            "path": file.path,
            "reason": file.reason,
            "detail": file.detail.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:500],
            "image_id": ids.get(file.duplicate_of or ""),
        }
        for file in skipped
    ]
    writes.upsert(db, SkippedFile, rows, unique=("run_id", "path"))


def _existing(context: Context, name: str, root: Path, *, synthetic: bool) -> Dataset | None:
    """The dataset of this name, if any. Raises UsageError if it has another folder, or is synthetic and this one is not
    or the reverse."""
    if context.artifacts.is_relative_to(root):
        raise UsageError(
            f"folder {root} contains the artifact folder {context.artifacts}; choose another with --artifacts FOLDER"
        )
    with session.reading(context.engine) as db:
        dataset = datasets.find(db, name)
    if dataset is not None:
        _refuse(dataset, root, synthetic=synthetic)
    return dataset


def _refuse(dataset: Dataset, root: Path, *, synthetic: bool) -> None:
    """Raise UsageError if the dataset has another folder, or is synthetic and this one is not or the reverse."""
    known = Path(dataset.root)
    if known.is_dir() and not known.samefile(root):  # otherwise the folder was moved, or has several paths
        raise UsageError(
            f"dataset '{dataset.name}' is already folder {dataset.root}; give {root} another name with --name"
        )
    if dataset.synthetic != synthetic:
        kind = "synthetic" if dataset.synthetic else "real"
        raise UsageError(f"dataset '{dataset.name}' was first ingested as {kind}; choose another name with --name")


def _gone(context: Context, images: Sequence[CuratedImage]) -> list[Dataset]:
    """The datasets whose folder is missing and most of whose images are among these."""
    here = {image.sha256 for image in images}
    found = []
    with session.reading(context.engine) as db:
        for other in datasets.every(db):
            if not Path(other.root).is_dir():
                held = {row.sha256 for row in datasets.keys(db, other.id)}
                if 2 * len(held & here) > len(held):
                    found.append(other)
    return found


def _latest(context: Context, dataset: Dataset | None) -> Run | None:
    """The dataset's last finished ingest."""
    if dataset is None:
        return None
    with session.reading(context.engine) as db:
        return runs.current(db, "ingest", dataset.id)


def _holds(context: Context, latest: Run, listing: Listing, *, attributes: Sequence[str], prune: bool) -> bool:
    """Whether the database and the thumbnails are still as the latest ingest of this same folder left them."""
    summary = latest.summary or {}
    same = summary.get("listing") == listing.fingerprint and latest.config["folder"] == str(listing.root)
    same = same and latest.config.get("attributes") == list(attributes)  # absent from runs of earlier versions
    if not same or latest.dataset_id is None or (prune and summary.get("stale")):
        return False
    if "unreadable" in summary.get("skipped", {}):  # it may be readable now, which the listing would not show
        return False
    with session.reading(context.engine) as db:
        rows = datasets.keys(db, latest.dataset_id)
    return all(thumbnail_path(context.artifacts, row.sha256).is_file() for row in rows)


def _summary(
    run: ActiveRun, listing: Listing, curated: Curated, skipped: Sequence[Skipped], known: dict[str, int | None]
) -> dict[str, Any]:
    """What the run did. known: the images that the dataset had before, with their labels."""
    shas = {image.sha256 for image in curated.images}
    files: Counter[tuple[str | None, int | None]] = Counter()
    distinct = Counter((image.split, image.label) for image in curated.images)
    for image in curated.images:
        files[image.split, image.label] += image.file_count
    gone = len(known.keys() - shas)
    reasons = _reasons(skipped)
    return {
        "listing": listing.fingerprint,
        "layout": listing.layout,
        "images": len(shas),
        "added": len(shas - known.keys()),
        "relabelled": sum(known.get(image.sha256, image.label) != image.label for image in curated.images),
        "stale": 0 if run.config["prune"] else gone,
        "forgotten": gone if run.config["prune"] else 0,
        "patients": len({image.patient_key for image in curated.images}),
        "lumped": _lumped(curated.images),
        "counts": [
            {"split": split, "label": label, "images": count, "files": files[split, label]}
            for (split, label), count in sorted(distinct.items(), key=str)
        ],
        "attributes": counted(image.attributes for image in curated.images),
        "skipped": reasons,
        "examples": {
            reason: [f"{file.path}: {file.detail}" for file in skipped if file.reason == reason][:EXAMPLES]
            for reason in reasons
        },
    }


def _lumped(images: Sequence[CuratedImage]) -> int:
    """The images of a patient who is probably several people: both labels and an unusually large share; 0 if none."""
    held = Counter(image.patient_key for image in images)
    ill, well = ({image.patient_key for image in images if image.label == label} for label in (1, 0))
    most = max((held[key] for key in ill & well), default=0)
    return most if len(images) >= MANY and most > LARGE_SHARE * len(images) else 0


def _reasons(skipped: Sequence[Skipped]) -> dict[str, int]:
    return dict(Counter(file.reason for file in skipped).most_common())


def _print_summary(run: ActiveRun, name: str) -> None:
    found = run.summary
    kind = "SYNTHETIC dataset" if run.config["synthetic"] else "dataset"
    print(f"ingest: run {run.id} added {found['added']:,} images to {kind} '{name}' in {run.seconds:.0f} s")
    print(
        f"        the folder holds {found['images']:,} distinct images of {found['patients']:,} patients "
        f"({found['layout']} layout)"
    )
    if found["relabelled"]:
        print(f"        labels that changed since the last ingest: {found['relabelled']:,}")
    if found["forgotten"]:
        print(f"        {found['forgotten']:,} that left the folder were forgotten, with all that belonged to them")
    print()
    print(f"{'split':<8}{'label':<12}{'images':>8}{'files':>8}")
    for row in found["counts"]:
        print(f"{row['split'] or '-':<8}{NAMES[row['label']]:<12}{row['images']:>8,}{row['files']:>8,}")
    for name, values in found["attributes"].items():
        line = ", ".join(f"{value} {count:,}" for value, count in values.items())
        print(f"{name}: {_shown(line)}")
    for reason, count in found["skipped"].items():
        print(f"\nskipped, {reason}: {count:,}")
        for line in found["examples"][reason]:
            print(f"  {_shown(line)}")
    if found["skipped"]:
        print(f"\nthe Runs page lists all skipped files with their reasons under run {run.id}")
    for line in _warnings(found):
        print(f"warning: {line}")


def _shown(text: str) -> str:
    """The text, escaped if a terminal could not show it."""
    return text if text.isprintable() else ascii(text)


def _warnings(found: dict[str, Any]) -> list[str]:
    """What will limit later jobs."""
    labels = {row["label"] for row in found["counts"]} - {None}
    lines = []
    if not labels:
        lines.append(
            "no image has a label: these images can be predicted and searched, but not trained on; labels come from "
            "labels.csv, or from subfolders NORMAL and PNEUMONIA, optionally inside train, val and test"
        )
    elif len(labels) == 1:
        lines.append(f"every label is {NAMES[labels.pop()]}: training needs both normal and pneumonia")
    if labels and all(row["split"] != "test" for row in found["counts"]):
        lines.append(
            "there is no test split: a classifier trained on these images is measured out of fold only, one trained on "
            "other patients is measured on all of them"
        )
    if across := found["patients_across"]:
        lines.append(
            f"{across} {'patient has' if across == 1 else 'patients have'} images both in and outside the test split; "
            "a classifier trained on one of a patient's images is not evaluated on the others"
        )
    if found["lumped"]:
        lines.append(
            f"{found['lumped']} of the {found['images']} images belong to one patient and have both labels; if they "
            "are of several people, give each one's patient in column 'patient' of labels.csv"
        )
    if found["stale"]:
        lines.append(
            f"{found['stale']} images of earlier ingests are missing or unusable in this folder; the dataset keeps "
            "them; forget them with --prune"
        )
    return lines
