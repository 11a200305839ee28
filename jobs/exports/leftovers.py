"""Which files of earlier exports lie in an export's folder without being part of it, and away with them."""

from collections import defaultdict

from db import session, writes
from db.queries import files, runs
from engine.digests import file_sha256
from jobs.exports.source import Export


def remove(export: Export) -> list[str]:
    """Delete what earlier exports left in the folder, and return its names, in order. A file stays where it holds
    anything but what an export wrote under its name."""
    others = {name: hashes for name, hashes in written(export).items() if name not in export.files}
    removed = []
    for name, hashes in sorted(others.items()):
        path = export.folder / name
        if path.is_file() and not path.is_symlink() and file_sha256(path) in hashes:
            path.unlink()
            removed.append(name)
    with session.transaction(export.context.engine) as db:
        writes.forget_files(db, export.recorded(others))
    return removed


def written(export: Export) -> dict[str, set[str]]:
    """The files that exports wrote into the folder, this one's earlier tries among them, and the hashes they had."""
    with session.reading(export.context.engine) as db:
        summaries = [run.summary or {} for run in runs.exports(db) if run.config["folder"] == str(export.folder)]
        rows = files.exported(db)
    found: dict[str, set[str]] = defaultdict(set)
    for summary in summaries:
        if isinstance(summary.get("files"), dict):  # a list, without hashes, before version 4
            for name, sha256 in summary["files"].items():
                found[name].add(sha256)
    for row in rows:  # also where the artifact folder has moved since
        if row.path in export.recorded([row.name]):
            found[row.name].add(row.sha256)
    return found
