"""Clients of several tenants that keep the service busy, and write down what they were promised and what they got."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from core.images import encode_photo
from idprefer_client.client import Client
from idprefer_client.errors import ClientError, JobFailed, StillRunning
from idprefer_client.records import Upload
from tests.api.service import CONSENT
from tests.chaos.events import EventLog
from tests.worker.house import photo

_ATTEMPTS = 40  # of one request, before its sender gives up
_WAIT_SECONDS = 20  # that a request waits for its result
_RETRIES = 20  # of a job that failed by no fault of its own


@dataclass(frozen=True)
class Plan:
    """How many of everything; the rest of the jobs are restorations."""

    jobs: int
    tenants: int
    people: int  # of each tenant
    clients: int  # of each tenant, at the same time
    photos: int = 2  # of each person
    training_steps: int = 4

    @property
    def restorations(self) -> int:
        """Return how many restorations make the jobs up."""
        return self.jobs - self.tenants * self.people * (self.photos + 1)


class Load:
    """Runs a plan, never faster than the faults come; `ended` says how far it is."""

    def __init__(self, plan: Plan, log: EventLog, may_begin: Callable[[int], bool]) -> None:
        """`may_begin` is asked with the number of a job before it is sent."""
        self.plan, self.ended = plan, 0
        self._log, self._may_begin = log, may_begin
        self._lock = threading.Lock()
        self._begun = 0

    def run(self, url: str, keys: Sequence[str]) -> None:
        """Do everything, each tenant's clients beside each other."""
        share, more = divmod(self.plan.restorations, len(keys))
        with ThreadPoolExecutor(len(keys)) as pool:
            work = [pool.submit(self._tenant, url, key, n, share + (n < more)) for n, key in enumerate(keys)]
        for one in work:
            one.result()

    def client(self, url: str, key: str) -> Client:
        """Return a tenant's client: one that does not give up soon."""
        return Client(url, key, attempts=_ATTEMPTS)

    def _tenant(self, url: str, key: str, number: int, restorations: int) -> None:
        with self.client(url, key) as client, ThreadPoolExecutor(self.plan.clients) as pool:
            seeds = range(1 + 100 * number, 1 + 100 * number + self.plan.people)
            people = list(pool.map(lambda seed: self._person(client, seed), seeds))
            uploads = [client.restorations.upload(encode_photo(photo(seed), "png")) for seed in (97, 98, 99)]
            list(
                pool.map(
                    lambda n: self.restoration(client, people[n % len(people)], uploads[n % len(uploads)], n),
                    range(restorations),
                )
            )

    def _person(self, client: Client, seed: int) -> str:
        """Enrol a person with photos and an adapter; return the id."""
        identity_id = client.identities.create(f"person {seed}").id
        client.consents.record(identity_id, **CONSENT)
        for n in range(self.plan.photos):
            self._reference(client, identity_id, seed + 1000 * n)
        self._job(client, "train", lambda: self._training(client, identity_id, seed))
        return identity_id

    def _reference(self, client: Client, identity_id: str, seed: int) -> None:
        data = encode_photo(photo(seed), "png")

        def send() -> str:
            return client.references.add(identity_id, [data], _WAIT_SECONDS)[0].job_id or ""

        self._job(client, "assess", send)

    def _training(self, client: Client, identity_id: str, seed: int) -> str:
        options = {"preset": "fast", "steps": self.plan.training_steps, "seed": seed}
        return client.trainings.start(identity_id, _WAIT_SECONDS, **options).id

    def restoration(self, client: Client, identity_id: str, upload: Upload, seed: int) -> None:
        """Have a photo restored."""

        def send() -> str:
            return client.restorations.create(upload, identity_id, None, _WAIT_SECONDS, preset="fast", seed=seed).job_id

        self._job(client, "restore", send)

    def _job(self, client: Client, kind: str, send: Callable[[], str]) -> None:
        """Send one job and follow it to its end."""
        self._wait_for_turn()
        try:
            job_id = send()
            self._log.write("accepted", kind=kind, job_id=job_id)
            self._follow(client, job_id)
        except ClientError as error:
            self._log.write("refused", kind=kind, error=f"{type(error).__name__}: {error}")
        with self._lock:
            self.ended += 1

    def _follow(self, client: Client, job_id: str) -> None:
        for _ in range(_RETRIES):
            try:
                job = client.jobs.wait(job_id, timeout_seconds=600)
            except StillRunning:
                self._log.write("late", job_id=job_id)
                continue
            except JobFailed as failure:
                self._log.write("failed", job_id=job_id, code=failure.code, detail=failure.detail)
                if failure.code == "worker_lost":
                    return
                time.sleep(1)
                client.jobs.retry(job_id)
                continue
            self._log.write("succeeded", job_id=job_id, attempt=job.attempt)
            return
        self._log.write("given_up", job_id=job_id)

    def _wait_for_turn(self) -> None:
        with self._lock:
            number = self._begun
            self._begun += 1
        while not self._may_begin(number):
            time.sleep(0.05)
