import shlex
from argparse import ArgumentParser

import pytest

from engine.commands import job


@pytest.mark.parametrize("dataset", ["chest_xray", "chest xray", "-dash", 'it\'s $HOME; `x` "y"'])
def test_a_shell_gives_the_job_the_data_set_as_it_is_called(dataset: str) -> None:
    line = job("embed", dataset, "--embedder", "aligned")
    program, *asked = shlex.split(line)[2:]
    options = ArgumentParser()
    options.add_argument("--dataset")
    options.add_argument("--embedder")
    assert program == "jobs" and asked.pop(0) == "embed"
    assert vars(options.parse_args(asked)) == {"dataset": dataset, "embedder": "aligned"}
    assert "\n" not in line
