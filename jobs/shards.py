"""Arrays that a run computes shard by shard, so that a killed run computes only the missing shards when it resumes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.files import kept_array, save_array
from jobs.run import ActiveRun, Advance

T = TypeVar("T")


def sharded(
    run: ActiveRun,
    rows: Sequence[T],
    compute: Callable[[Sequence[T], Advance], NDArray[Any]],
    *,
    name: str | Callable[[Sequence[T]], str],
    stage: str,
    size: int,
    none: NDArray[Any] | None = None,
    finite: bool = False,
) -> NDArray[Any]:
    """compute(rows) shard by shard, (n, ...); shards that an earlier attempt finished are read from the run's folder.

    compute: the array of at most `size` rows, (m, ...); it advances the stage by m. name: of the files, before the
    number of their first row, or a function of a shard's rows. none: the array of no rows, whose shape (0, ...) shards
    must have. finite: compute shards again that hold a NaN or an infinity. Raises ValueError if there are no rows and
    `none` is not given.
    """
    parts = [] if none is None else [none]
    with run.progress(stage, len(rows)) as advance:
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            path = run.folder / f"{f'{name}-{start:08d}' if isinstance(name, str) else name(part)}.npy"
            made = kept_array(path, len(part), *(() if none is None else none.shape[1:]))
            if made is None or (finite and not np.isfinite(made).all()):
                made = compute(part, advance)
                save_array(path, made)
            else:
                advance(len(part))
            parts.append(made)
    return np.concatenate(parts)


def records(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.void]:
    """One record per row, (n,), with the columns, each (n, ...), as fields: a shard of several arrays is one file."""
    (count,) = {len(values) for values in columns.values()}
    made = np.empty(count, dtype=[(name, values.dtype, values.shape[1:]) for name, values in columns.items()])
    for name, values in columns.items():
        made[name] = values
    return made
