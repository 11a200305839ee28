import shlex

import pytest

from engine.commands import job


@pytest.mark.parametrize("dataset", ["chest_xray", "chest xray", 'it\'s $HOME; `x` "y"'])
def test_a_shell_gives_the_job_the_data_set_as_it_is_called(dataset: str) -> None:
    line = job("embed", dataset, "--embedder", "aligned")
    assert shlex.split(line) == ["python", "-m", "jobs", "embed", "--dataset", dataset, "--embedder", "aligned"]
    assert "\n" not in line
