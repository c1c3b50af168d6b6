"""Everything dies at some time: whatever it is, no job is lost, none is published twice, and nothing stays behind."""

import random
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from housekeeping import retention
from housekeeping.outbox import Errands
from housekeeping.parts import Parts
from store.database import Database
from store.doorbell import LocalDoorbell
from tests.chaos.check import Findings, check
from tests.chaos.events import EventLog
from tests.chaos.faults import FAULTS, schedule
from tests.chaos.load import Load, Plan
from tests.chaos.stack import Stack, running
from tests.tiny_bundle import write_whole_bundle

KEPT = Path(__file__).parents[2] / ".work" / "chaos"
SHORT = ["worker_child_killed", "api_killed", "redis_flushed", "postgres_crashed", "bells_doubled"]


class Storm:
    """Faults, spread evenly over the jobs of a load."""

    def __init__(self, stack: Stack, names: Sequence[str], jobs: int, seed: int, log: EventLog) -> None:
        self._stack, self._names, self._log = stack, names, log
        self._chance = random.Random(seed)
        self._every = jobs / (len(names) + 1)
        self._begun = 0

    def may_begin(self, number: int) -> bool:
        """Hold jobs back that would be over before the faults are."""
        return number < (self._begun + 1.5) * self._every or self._begun == len(self._names)

    def rage(self, load: Load, over: threading.Event) -> None:
        """Let each fault strike in its turn; meanwhile start again whatever ends by itself."""
        for name in self._names:
            due = (self._begun + 1) * self._every
            while load.ended < due and not over.wait(0.1):
                self._tend()
            if load.ended < due:
                return  # the load broke off
            self._begun += 1
            self._log.write("fault", name=name)
            FAULTS[name](self._stack, self._chance)
            self._log.write("fault_over", name=name)
        while not over.wait(0.5):
            self._tend()

    def _tend(self) -> None:
        for name in self._stack.tend():
            self._log.write("ended_by_itself", name=name)


def run(folder: Path, plan: Plan, seed: int, names: Sequence[str], workers: int, lease_seconds: float) -> Findings:
    """Run a load through faults, end everything in good order, sweep, and look at what is left."""
    bundle = write_whole_bundle(folder / "bundle")
    path = folder / "log.jsonl"
    with running(folder, bundle, workers, lease_seconds) as stack, closing(EventLog(path)) as log:
        log.write("begin", seed=seed, jobs=plan.jobs, faults=list(names))
        storm = Storm(stack, names, plan.jobs, seed, log)
        load = Load(plan, log, storm.may_begin)
        over = threading.Event()
        raging = threading.Thread(target=storm.rage, args=(load, over))
        raging.start()
        try:
            load.run(stack.url, [stack.key(f"tenant {n}") for n in range(plan.tenants)])
        finally:
            over.set()
            raging.join()
        log.write("end")
        for program in (*stack.workers, stack.caretaker, stack.api):
            program.drain()
        sweep(stack)
        return check(path, stack.settings.database_url, stack.safe)


def sweep(stack: Stack) -> None:
    """Do what the caretaker does in a few hours: every errand, and the orphans as if they were old."""
    with (
        closing(Database(stack.settings.database_url, role="ledger")) as database,
        pytest.MonkeyPatch.context() as patch,
    ):
        parts = Parts(database, stack.safe, LocalDoorbell(threading.Event()))
        retention.tidy(parts)
        with closing(Errands(parts)) as errands:
            while errands.start_due():
                errands.finish()
        patch.setattr(retention, "_YOUNG", timedelta(0))
        time.sleep(1.1)  # the store's clock knows whole seconds
        retention.delete_orphans(parts)


def test_a_short_storm(tmp_path: Path) -> None:
    """Twelve jobs through five faults: every one succeeds, once, and no object is left that no row knows."""
    plan = Plan(jobs=12, tenants=2, people=1, clients=4, photos=1)
    found = run(tmp_path, plan, 1, schedule(1, len(SHORT), SHORT), workers=1, lease_seconds=3.0)
    assert not found.wrong(), found.wrong()
    assert found.accepted == plan.jobs
    assert found.faults.total() == len(SHORT)


@pytest.mark.prove
@pytest.mark.timeout(4 * 3600)
def test_a_thousand_jobs_through_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand jobs through fifty-four faults of eighteen kinds; what was found is printed, and the log kept."""
    plan = Plan(jobs=1000, tenants=3, people=8, clients=5)
    found = run(tmp_path, plan, 6, schedule(6, 3 * len(FAULTS)), workers=2, lease_seconds=15.0)
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in ("log.jsonl", *(path.name for path in tmp_path.glob("*.log"))):
        (KEPT / name).write_bytes((tmp_path / name).read_bytes())
    (KEPT / "summary.md").write_text(found.summary() + "\n")
    with capsys.disabled():
        print(f"\nseed 6: {found.summary()}")  # noqa: T201 -- the figures are what this is for
    assert not found.wrong(), found.wrong()
    assert found.accepted == plan.jobs
    assert found.faults.total() >= 50
