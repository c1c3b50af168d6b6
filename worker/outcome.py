"""The job boundary: whatever happens inside becomes the job's end, and nobody else's."""

import contextlib
from collections.abc import Callable
from typing import TypeVar

import structlog
import torch
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from structlog.contextvars import bound_contextvars

from core.errors import Interrupted, PreferError
from store import ledger
from store.errors import Fenced, StorageDown, StoreError
from worker.batches import OutOfMemory
from worker.memory import named_out_of_memory
from worker.run import Run

log = structlog.get_logger(__name__)
T = TypeVar("T")
_ATTEMPTS = 5  # at a job, before a database that fails in the middle of it is the job's own failure


def attempt(run: Run, work: Callable[[], T]) -> T | None:
    """Do a part of a run's work; where it fails, end the job as it deserves and return None."""
    if run.ended:
        return None
    with bound_contextvars(**run.named()):
        return _attempt(run, work)


def _attempt(run: Run, work: Callable[[], T]) -> T | None:
    try:
        with named_out_of_memory():
            return work()
    except Exception as error:  # the job boundary: recorded, and on to others
        settle(run, error)
        if isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError):
            raise  # a device in this state fails every job: the process must end and be started anew
        return None


def settle(run: Run, error: Exception) -> None:
    """End a run that did not succeed: canceled, given back, failed, or left to whoever has it now."""
    run.ended = True
    if not isinstance(error, SQLAlchemyError):  # a commit whose answer was lost may have published it all
        with contextlib.suppress(StorageDown):  # what stays is an orphan, which housekeeping finds
            run.clean_up()
    try:
        if isinstance(error, Fenced):
            run.parts.heart.look()
        _write(run, error)
    except Fenced:
        log.info("lease_lost", job_id=run.lease.job_id, epoch=run.lease.epoch)
        run.parts.heart.owe(run.lease)  # perhaps only by this process's clock, while the database was away
    except SQLAlchemyError as failure:
        log.warning("outcome_not_written", job_id=run.lease.job_id, error=str(failure))
        if run.claim.attempt < _ATTEMPTS:  # what fails each time runs out of its lease, and into strikes
            run.parts.heart.owe(run.lease)
    finally:
        run.parts.heart.let_go(run.held)


def _write(run: Run, error: Exception) -> None:
    order = run.held.order
    if order == "lost":
        raise Fenced(f"got {run.lease.job_id} under a lease that is another's by now, wanted to end it")
    with run.ledger() as session:
        if isinstance(error, Interrupted | Fenced) or _database_was_away(run, error):
            if order == "stop":
                ledger.canceled(session, run.lease, run.metrics())
            else:
                ledger.release(session, run.lease)
            return
        code, detail, retryable = _failure(error)
        ledger.fail(session, run.lease, code, detail, retryable, run.metrics())
    unknown = code == "internal"
    (log.error if unknown else log.info)("job_failed", job_id=run.lease.job_id, code=code, exc_info=unknown and error)


def _database_was_away(run: Run, error: Exception) -> bool:
    """Say whether a job is to be given back: it is not to blame, unless that is what happens to it each time."""
    return isinstance(error, OperationalError) and run.claim.attempt < _ATTEMPTS


def _failure(error: Exception) -> tuple[str, str, bool]:
    """Return code, sentence, and whether the same job may well succeed later."""
    if isinstance(error, PreferError | StoreError):
        return error.code, str(error), isinstance(error, StorageDown)
    if isinstance(error, OutOfMemory | torch.OutOfMemoryError | MemoryError):
        return "out_of_memory", f"{error}; retry when the machine is less busy, or use a smaller preset", True
    return "internal", f"got a {type(error).__name__} on our side, wanted none; retry, and report the job's id", True
