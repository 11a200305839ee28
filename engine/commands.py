"""The commands that messages name as the way out."""

import shlex


def job(name: str, dataset: str, *options: str) -> str:
    """The line that runs a job on a data set, as a shell takes it, whatever the data set is called."""
    named = [f"--dataset={dataset}"] if dataset.startswith("-") else ["--dataset", dataset]
    return shlex.join(["python", "-m", "jobs", name, *named, *options])
