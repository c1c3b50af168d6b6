"""Tests of a process under Celery, as its tasks and its parent see it; whole nodes are in tests/stacks."""

import os
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from store import models, operators
from store.database import Database
from tests.worker.house import House, options_for
from tests.worker.test_supervisor import until
from worker import celery_app
from worker.celery_app import Node


def test_a_drained_process_hears_no_more_rings(house: House, tiny_folder: Path) -> None:
    """A process that an operator drained hands the ring on, and stays in its task until the parent ends."""
    node = Node(house.settings, options_for(tiny_folder, beat_seconds=0.1))
    parents_end = os.dup(node._writer)
    node.begin()
    try:
        assert node.drain() is False  # nothing waits
        with closing(Database(house.settings.database_url, role="ledger")) as database:
            with database.transaction(None) as session:
                (worker_id,) = session.scalars(select(models.Worker.id)).all()
                operators.drain(session, worker_id)
            assert until(lambda: node._bell.stopped, 10)
        assert node.drain() is True
        aside = threading.Thread(target=node.stand_aside)
        aside.start()
        aside.join(0.3)
        assert aside.is_alive()
    finally:
        os.close(parents_end)
    aside.join(10)
    assert not aside.is_alive()
    assert node.drain() is False
    node.end()


def test_a_forgotten_process_is_replaced(house: House, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was silent until struck off ends, so that Celery starts another: it does not stand aside."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    node = Node(house.settings, options_for(tiny_folder, beat_seconds=0.1))
    parents_end = os.dup(node._writer)
    node.begin()
    try:
        assert node.drain() is False  # it is ready
        with closing(Database(house.settings.database_url, role="ledger")) as database:
            with database.transaction(None) as session:
                session.execute(delete(models.Worker))
            assert until(lambda: bool(codes))
    finally:
        os.close(parents_end)
    node.end()
    assert codes == [celery_app._BROKEN]
