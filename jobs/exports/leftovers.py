"""Finds and removes files that earlier exports left in an export's folder."""

from collections import defaultdict

from db import session, writes
from db.queries import files, runs
from engine.digests import file_sha256
from jobs.exports.source import Export


def remove(export: Export) -> list[str]:
    """Delete the files that earlier exports left in the folder, and return their names, sorted. A file is kept if its
    content is not what an export wrote under its name."""
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
    """File name -> hashes of what exports, including earlier attempts of this one, wrote into the folder."""
    with session.reading(export.context.engine) as db:
        summaries = [run.summary or {} for run in runs.exports(db) if run.config["folder"] == str(export.folder)]
        rows = files.exported(db)
    found: dict[str, set[str]] = defaultdict(set)
    for summary in summaries:
        if isinstance(summary.get("files"), dict):  # a list, without hashes, before version 4
            for name, sha256 in summary["files"].items():
                found[name].add(sha256)
    for row in rows:  # also finds them if the artifact folder was moved
        if row.path in export.recorded([row.name]):
            found[row.name].add(row.sha256)
    return found
