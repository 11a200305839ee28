"""Is what a generator gives kept as it comes, and nothing of it lost when the generator fails?"""

from collections.abc import Iterator

import pytest

from jobs.reporting.work import in_time


def failing(count: int) -> Iterator[int]:
    yield from range(count)
    raise RuntimeError("the server is gone")


def test_everything_comes_once_and_in_order() -> None:
    assert list(in_time(range(5))) == [[0, 1, 2, 3, 4]]
    assert list(in_time(range(3), seconds=0)) == [[0], [1], [2]]
    assert list(in_time([])) == []


def test_what_came_before_an_error_is_handed_on_before_it() -> None:
    seen: list[int] = []
    with pytest.raises(RuntimeError, match="the server is gone"):
        for piece in in_time(failing(4)):
            seen += piece
    assert seen == [0, 1, 2, 3]
