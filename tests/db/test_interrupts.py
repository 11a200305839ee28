"""Signals and transactions: an interruption comes after the commit, never in the middle of it."""

import os
import signal
import threading

import pytest
from sqlalchemy import Engine, select

from db import session
from db.models import Dataset


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_inside_a_transaction_waits_until_it_is_stored(engine: Engine, number: signal.Signals) -> None:
    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), session.transaction(engine) as db:
            db.add(Dataset(name="kept", root="/", synthetic=False))
            os.kill(os.getpid(), number)
            db.flush()
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)
    with session.transaction(engine) as db:
        assert db.scalars(select(Dataset.name)).all() == ["kept"]


def test_an_error_inside_a_transaction_still_undoes_it_and_puts_the_handlers_back(engine: Engine) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="mine"), session.transaction(engine) as db:
        db.add(Dataset(name="lost", root="/", synthetic=False))
        db.flush()
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is before
    with session.transaction(engine) as db:
        assert db.scalars(select(Dataset.name)).all() == []


def test_transactions_work_outside_the_main_thread(engine: Engine) -> None:
    def store() -> None:
        with session.transaction(engine) as db:
            db.add(Dataset(name="threaded", root="/", synthetic=False))

    thread = threading.Thread(target=store)
    thread.start()
    thread.join()
    with session.transaction(engine) as db:
        assert db.scalars(select(Dataset.name)).all() == ["threaded"]
