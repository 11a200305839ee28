"""python -m jobs [NAME ...]: list the jobs, or run the one named."""

import ast
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

JOBS = (
    "demo",
    "ingest",
    "validate",
    "train",
    "predict",
    "import_predictions",
    "report",
    "import_reports",
    "score",
    "embed",
    "map",
    "duplicates",
    "search",
    "evaluate",
    "compare",
    "audit",
    "export",
    "forget",
    "fetch_models",
    "migrate",
)


def purpose(name: str) -> str:
    """The second half of the module docstring's first line, read without importing the job."""
    source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    first = (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]
    return first.partition(": ")[2]


def main(argv: Sequence[str] | None = None) -> int:
    """Dispatch to `jobs.NAME.main`."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: python -m jobs NAME [OPTIONS]    (python -m jobs NAME --help)\n")
        for name in JOBS:
            print(f"  {name:<18} {purpose(name)}")
        return 0
    if argv[0] not in JOBS:
        print(f"error: job '{argv[0]}' is unknown; known: {', '.join(JOBS)}", file=sys.stderr)
        return 2
    job = importlib.import_module(f"jobs.{argv[0]}")
    result: int = job.main(argv[1:])
    return result


if __name__ == "__main__":
    try:
        code = main()
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:  # while the job is being imported; once it runs, it handles this itself
        print("interrupted; run the same command again to continue", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # as after `| head`; the rest of the output is discarded
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code)
