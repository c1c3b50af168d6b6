"""Rolling restarts under load: whoever retries notices nothing, and no job is lost, blamed, or published twice."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median

import pytest

from core.images import encode_photo
from idprefer_client.client import Client
from idprefer_client.records import Upload
from tests.chaos.check import Findings, check
from tests.chaos.counting import CountingTransport
from tests.chaos.events import EventLog, read_events
from tests.chaos.load import Load, Plan
from tests.chaos.stack import Program, Stack, running, wait_until_it_answers
from tests.chaos.test_chaos import KEPT, sweep
from tests.tiny_bundle import write_whole_bundle
from tests.worker.house import photo

_READY_SECONDS = 180.0  # on a machine that does much else


class Clients(Load):
    """The load of the chaos tests, by clients as the package makes them, which also list, upload and enrol."""

    def __init__(self, plan: Plan, log: EventLog, rolling: "Rolling") -> None:
        super().__init__(plan, log, rolling.may_begin)
        self.counted = CountingTransport()

    def client(self, url: str, key: str) -> Client:
        """Return a client with four attempts at each request, as it comes."""
        return Client(url, key, http_transport=self.counted)

    def restoration(self, client: Client, identity_id: str, upload: Upload, seed: int) -> None:
        """Have a photo restored, and do what else a client does; whatever fails ends the test."""
        made = client.identities.create(f"somebody {seed}")
        assert made.id in [each.id for each in client.identities.list()]
        fresh = client.restorations.upload(encode_photo(photo(seed % 7), "png")) if seed % 3 == 0 else upload
        super().restoration(client, identity_id, fresh, seed)
        assert any(client.restorations.list())
        assert any(client.jobs.list())
        self.counted.count("operations")


class Rolling:
    """Restarts one process after the other, spread evenly over the jobs of a load."""

    def __init__(self, stack: Stack, restarts: int, jobs: int, log: EventLog) -> None:
        self._stack, self._restarts, self._log = stack, restarts, log
        self._every = jobs / (restarts + 1)
        self.done = 0

    def may_begin(self, number: int) -> bool:
        """Hold jobs back that would be over before the restarts are."""
        return number < (self.done + 2) * self._every or self.done == self._restarts

    def roll(self, load: Load, over: threading.Event) -> None:
        """Restart API and workers in turns until each had its share."""
        programs = [one for pair in zip(self._stack.apis, self._stack.workers, strict=True) for one in pair]
        while self.done < self._restarts:
            while load.ended < (self.done + 1) * self._every:
                if over.wait(0.1):
                    return  # the load broke off
            self._restart(programs[self.done % len(programs)])
            self.done += 1

    def _restart(self, program: Program) -> None:
        started = time.monotonic()
        exit_code = ended(program)
        drained = time.monotonic()
        program.start()
        if program in self._stack.apis:
            wait_until_it_answers(int(program.command[-1]))
        else:
            self._wait_for_workers()
        seconds = {"drain": round(drained - started, 2), "back": round(time.monotonic() - drained, 2)}
        self._log.write("restarted", name=program.name, exit_code=exit_code, **seconds)

    def _wait_for_workers(self) -> None:
        """Wait until as many worker processes are there as there should be."""
        deadline = time.monotonic() + _READY_SECONDS
        while self._stack.count("SELECT count(*) FROM workers") < len(self._stack.workers):
            assert time.monotonic() < deadline, "the worker did not come back"
            time.sleep(0.2)


def ended(program: Program) -> int:
    """Tell a program to end in good order; return its exit code."""
    assert program.process is not None, "it runs"
    program.process.terminate()
    return program.process.wait(_READY_SECONDS)


def report(found: Findings, restarts: Sequence[dict[str, object]], met: Counter[str]) -> str:
    """Return the figures in a few lines."""
    lines = [found.summary().split("| fault")[0], f"requests: {dict(sorted(met.items()))}"]
    for kind in ("api", "worker"):
        mine = [each for each in restarts if str(each["name"]).startswith(kind)]
        for what in ("drain", "back"):
            seconds = sorted(float(str(each[what])) for each in mine)
            lines.append(
                f"{kind}, {len(mine)} restarts, {what}: median {median(seconds):.1f} s, most {seconds[-1]:.1f} s"
            )
    return "\n".join(lines)


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_twenty_rolling_restarts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two API processes and two workers, restarted five times each in turns: no request fails, every job succeeds."""
    plan, path = Plan(jobs=240, tenants=2, people=3, clients=4), tmp_path / "log.jsonl"
    bundle = write_whole_bundle(tmp_path / "bundle")
    with running(tmp_path, bundle, 2, 15.0, apis=2) as stack, closing(EventLog(path)) as log:
        log.write("begin", jobs=plan.jobs)
        rolling = Rolling(stack, 20, plan.jobs, log)
        load, over = Clients(plan, log, rolling), threading.Event()
        restarting = threading.Thread(target=rolling.roll, args=(load, over))
        restarting.start()
        try:
            load.run(stack.url, [stack.key(f"tenant {n}") for n in range(plan.tenants)])
        finally:
            over.set()
            restarting.join()
        log.write("end")
        strikes = stack.count("SELECT coalesce(sum(strikes), 0) FROM jobs")
        codes = [ended(program) for program in (*stack.workers, stack.caretaker, *stack.apis)]
        sweep(stack)
        found = check(path, stack.settings.database_url, stack.safe)
    restarts = [event for event in read_events(path) if event["what"] == "restarted"]
    KEPT.mkdir(parents=True, exist_ok=True)
    for kept in (path, *tmp_path.glob("*.log")):
        (KEPT / f"restarts-{kept.name}").write_bytes(kept.read_bytes())
    with capsys.disabled():
        print(f"\n{report(found, restarts, load.counted.met)}")  # noqa: T201 -- the figures are what this is for
    assert not found.wrong(), found.wrong()
    assert found.accepted == plan.jobs
    assert not found.retried, "no job failed, even for a moment"
    assert not strikes, "nobody is blamed for a restart"
    assert len(restarts) == 20
    assert {event["exit_code"] for event in restarts} == {0} == set(codes)
