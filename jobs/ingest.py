"""python -m jobs ingest FOLDER [--name NAME]: add a folder's radiographs to the database, with thumbnails.

FOLDER holds train|val|test/NORMAL|PNEUMONIA, or images with a labels.csv (file, label; optional split, patient,
cause, and attributes of the film that results are told apart by: sex, age, view, site, device), or unlabelled images;
JPEG, PNG, TIFF, DICOM and the like. What cannot be used is listed with a reason.
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
from engine.attributes import NAME, counted
from engine.commands import moved
from engine.curation import Curated, CuratedImage, Inspected, curate, inspect
from engine.datasets import SHEET_COLUMNS, Listing, Skipped, list_folder
from engine.images import parallel, thumbnail_path
from engine.phantoms import is_phantoms
from jobs.command import Context, JobError, UsageError, command, named_folder, open_context, parser, positive
from jobs.run import ActiveRun

EXAMPLES = 5
MANY, LARGE_SHARE = 20, 0.1
"""Of so many images and more, one patient with both labels is unlikely to have more than this share."""
LABEL_NAMES = {0: "NORMAL", 1: "PNEUMONIA", None: "unknown"}


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "ingest")
    options.add_argument("folder", type=named_folder, metavar="FOLDER", help="where the radiographs lie")
    options.add_argument("--name", help="the data set's name (default: the folder's)")
    options.add_argument("--synthetic", action="store_true", help="mark everything made from it as SYNTHETIC")
    options.add_argument(
        "--attributes",
        type=attribute_names,
        default=(),
        metavar="COLUMN,...",
        help="further columns of labels.csv that are attributes",
    )
    options.add_argument("--workers", type=positive, metavar="N", help="threads (default: one a core)")
    options.add_argument(
        "--prune",
        action="store_true",
        help="forget images that the folder no longer holds, with all that hangs on them",
    )
    args = options.parse_args(argv)
    listing = list_folder(args.folder, further=args.attributes)
    name = listing.root.name if args.name is None else args.name
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise UsageError("the data set's name must have 1 to 200 printable characters; give one with --name")
    synthetic = args.synthetic or is_phantoms(listing.root)
    context = open_context(args)
    dataset = _existing(context, name, listing.root, synthetic=synthetic)
    latest = _latest(context, dataset)
    if latest is not None and _holds(context, latest, listing, attributes=args.attributes, prune=args.prune):
        with session.transaction(context.engine) as db:
            db.get_one(Run, latest.id).in_force = now()
        print(f"ingest: already done as run {latest.id}")
        return 0
    config = {"name": name, "folder": str(listing.root), "synthetic": synthetic, "prune": args.prune}
    run = ActiveRun.claim(
        context,
        kind="ingest",
        config=config | {"attributes": list(args.attributes)},
        # What came before is part of it: a folder that changed and changed back is a new run.
        inputs=f"{listing.fingerprint} after {latest.id if latest else 'nothing'}",
        dataset_id=dataset.id if dataset else None,
    )
    if run.already_finished:
        print(f"ingest: already done as run {run.id}")
        return 0
    with run:
        ingest(run, listing, workers=args.workers)
    _print_summary(run, name)
    return 0


def attribute_names(value: str) -> tuple[str, ...]:
    """An argparse type: columns of a label sheet, between commas, in any case."""
    names = tuple(dict.fromkeys(name.strip().lower() for name in value.split(",")))
    for name in names:
        if NAME.fullmatch(name) is None or name in SHEET_COLUMNS:
            raise argparse.ArgumentTypeError(
                f"'{name}' is no column for an attribute: its name has 1 to 17 letters, digits, blanks, - or _, begins "
                f"with a letter, and is none of {', '.join(SHEET_COLUMNS)}"
            )
    return names


def ingest(run: ActiveRun, listing: Listing, *, workers: int | None) -> None:
    """Read every file, then store images and skipped files in one transaction. Raises JobError where none is usable."""
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
        known = {} if dataset is None else {row.sha256: row.patient_key for row in datasets.keys(db, dataset.id)}
    curated = curate(decoded, known_keys=known)
    skipped += curated.skipped
    if not curated.images:
        with session.transaction(run.context.engine) as db:
            _store_skipped(db, run.id, skipped, {})
        counts = _reasons(skipped)
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts.items())
        firsts = (next(file for file in skipped if file.reason == reason) for reason in counts)
        first = _shown("; ".join(f"{file.path}: {file.detail}" for file in firsts))
        raise JobError(
            f"folder {listing.root} holds no usable image ({reasons}), such as {first}; "
            f"the Runs page lists all, run {run.id}"
        )
    if dataset is None:
        for other in _gone(run.context, curated.images):
            print(f"note: these are the images of another dataset: {moved(other.root, other.name)}", file=sys.stderr)
    os.sync()  # thumbnails before the rows that speak of them
    run.summary = _summary(run, listing, curated, skipped, known)
    _store(run, listing, curated, skipped)


def _store(run: ActiveRun, listing: Listing, curated: Curated, skipped: Sequence[Skipped]) -> None:
    """All rows at once: whoever reads meanwhile, and whoever comes after a crash, sees the whole ingest or none."""
    name, synthetic = run.config["name"], run.config["synthetic"]
    with session.transaction(run.context.engine) as db:
        row = {"name": name, "root": str(listing.root), "synthetic": synthetic}
        writes.upsert(db, Dataset, [row], unique=("name",), update=False)
        dataset = datasets.find(db, name)
        assert dataset is not None
        writes.hold(db, dataset.id)
        _refuse(dataset, listing.root, synthetic=synthetic)  # another ingest may have made it a moment ago
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
    """The data set of this name, if any. Raises UsageError where it is another folder's or another kind."""
    if context.artifacts.is_relative_to(root):
        raise UsageError(f"folder {root} holds the artifact folder too; choose another with --artifacts FOLDER")
    with session.reading(context.engine) as db:
        dataset = datasets.find(db, name)
    if dataset is not None:
        _refuse(dataset, root, synthetic=synthetic)
    return dataset


def _refuse(dataset: Dataset, root: Path, *, synthetic: bool) -> None:
    """Raises UsageError where the dataset is another folder's or another kind."""
    known = Path(dataset.root)
    if known.is_dir() and not known.samefile(root):  # else the folder was moved, or is reached by another name
        raise UsageError(f"dataset '{dataset.name}' is folder {dataset.root}; give {root} another name with --name")
    if dataset.synthetic != synthetic:
        kind = "synthetic" if dataset.synthetic else "real"
        raise UsageError(f"dataset '{dataset.name}' is {kind}, as it was first ingested; use another --name")


def _gone(context: Context, images: Sequence[CuratedImage]) -> list[Dataset]:
    """The datasets whose folder is gone and most of whose images are among these."""
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
    """The data set's last finished ingest."""
    if dataset is None:
        return None
    with session.reading(context.engine) as db:
        return runs.in_force(db, "ingest", dataset.id)


def _holds(context: Context, latest: Run, listing: Listing, *, attributes: Sequence[str], prune: bool) -> bool:
    """Whether the database and the thumbnails still stand as the latest ingest of this very folder left them."""
    summary = latest.summary or {}
    same = summary.get("listing") == listing.fingerprint and latest.config["folder"] == str(listing.root)
    same = same and latest.config.get("attributes") == list(attributes)  # earlier ones kept none
    if not same or latest.dataset_id is None or (prune and summary.get("stale")):
        return False
    if "unreadable" in summary.get("skipped", {}):  # it may be readable by now, and the listing would not show it
        return False
    with session.reading(context.engine) as db:
        rows = datasets.keys(db, latest.dataset_id)
    return all(thumbnail_path(context.artifacts, row.sha256).is_file() for row in rows)


def _summary(
    run: ActiveRun, listing: Listing, curated: Curated, skipped: Sequence[Skipped], known: dict[str, str]
) -> dict[str, Any]:
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
    """How many images a patient has that is likely several: both labels, and more of all images than is usual; or 0."""
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
        f"        it holds {found['images']:,} distinct images of {found['patients']:,} patients ({found['layout']})\n"
    )
    print(f"{'split':<8}{'label':<12}{'images':>8}{'files':>8}")
    for row in found["counts"]:
        print(f"{row['split'] or '-':<8}{LABEL_NAMES[row['label']]:<12}{row['images']:>8,}{row['files']:>8,}")
    for name, values in found["attributes"].items():
        told = ", ".join(f"{value} {count:,}" for value, count in values.items())
        print(f"{name}: {_shown(told)}")
    for reason, count in found["skipped"].items():
        print(f"\nskipped, {reason}: {count:,}")
        for line in found["examples"][reason]:
            print(f"  {_shown(line)}")
    if found["skipped"]:
        print(f"\nall skipped files with their reasons: Runs page, run {run.id}")
    for line in _warnings(found):
        print(f"warning: {line}")


def _shown(text: str) -> str:
    """What a terminal shows as it is."""
    return text if text.isprintable() else ascii(text)


def _warnings(found: dict[str, Any]) -> list[str]:
    """What later jobs will trip over."""
    labels = {row["label"] for row in found["counts"]} - {None}
    lines = []
    if not labels:
        lines.append(
            "no image is labelled: these images can be predicted and searched, not trained on; labels come from "
            "labels.csv, or from the folder that holds NORMAL and PNEUMONIA, or train, val and test with both"
        )
    elif len(labels) == 1:
        lines.append(f"every label is {LABEL_NAMES[labels.pop()]}: training needs NORMAL and PNEUMONIA")
    if labels and all(row["split"] != "test" for row in found["counts"]):
        lines.append("there is no test split: nothing can be evaluated on unseen patients")
    if across := found["patients_across"]:
        lines.append(
            f"{across} {'patient has' if across == 1 else 'patients have'} films in more than one split, test among "
            "them; a classifier that learned from one of a patient's films is not judged on the others"
        )
    if found["lumped"]:
        lines.append(
            f"{found['lumped']} of the {found['images']} images are one patient's, with both labels; "
            "if they are several people's, tell whose they are in column 'patient' of labels.csv"
        )
    if found["stale"]:
        lines.append(f"{found['stale']} images of earlier ingests are no longer usable here; forget them with --prune")
    return lines
