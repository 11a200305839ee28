"""The command lines that messages suggest as the next step."""

import shlex


def job(name: str, dataset: str, *options: str) -> str:
    """The shell command that runs a job on a dataset, quoted so that any dataset name is safe."""
    return shell(name, *option("dataset", dataset), *options)


def shell(name: str, *words: str) -> str:
    """The shell command that runs a job with these arguments, quoted where necessary."""
    return shlex.join(["python", "-m", "jobs", name, *words])


def embed_again(dataset: str, embedder: str) -> str:
    """The shell command that updates a dataset's index for this embedder."""
    return job("embed", dataset, "--embedder", embedder)


def moved(root: str, dataset: str) -> str:
    """One line that says a dataset's folder is gone and how to point the dataset at its new place."""
    again = shell("ingest", "NEWFOLDER", *option("name", dataset))
    return f"folder {root} of dataset '{dataset}' is missing; if it was moved, run: {again}"


def option(name: str, value: object) -> list[str]:
    """The arguments that set an option; joined by = if the value itself starts with a dash."""
    flag, text = f"--{name.replace('_', '-')}", str(value)
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]
