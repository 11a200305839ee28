"""The commands that messages name as the way out."""

import shlex


def job(name: str, dataset: str, *options: str) -> str:
    """The line that runs a job on a data set, as a shell takes it, whatever the data set is called."""
    return shell(name, *option("dataset", dataset), *options)


def shell(name: str, *words: str) -> str:
    """The line that runs a job with these words, as a shell takes it."""
    return shlex.join(["python", "-m", "jobs", name, *words])


def embed_again(dataset: str, embedder: str) -> str:
    """The line that brings a data set's index by this embedder up to date."""
    return job("embed", dataset, "--embedder", embedder)


def moved(root: str, dataset: str) -> str:
    """What to do where a data set's folder is gone, in one line."""
    again = shell("ingest", "NEWFOLDER", *option("name", dataset))
    return f"folder {root} of dataset '{dataset}' is gone; where it was moved, run: {again}"


def option(name: str, value: object) -> list[str]:
    """The words that give a job an option, also one whose value looks like another option."""
    word, said = f"--{name.replace('_', '-')}", str(value)
    return [f"{word}={said}"] if said.startswith("-") else [word, said]
