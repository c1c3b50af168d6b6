"""A sequence of made-up requests to things that are there, sent to a running service, and what came of them."""

import json
import random
import re
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

from tests.api.hand import Hand
from tests.api.operations import DOCUMENT, Makings, body_of
from tests.api.service import Service, Tenant

# Not among them is that every well-formed request is accepted: a cursor, a box, an Idempotency-Key have rules that a
# schema cannot tell.
ALWAYS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
PARTS = {
    "idn": "identity_id", "con": "consent_id", "ref": "reference_id", "adp": "adapter_id", "res": "restoration_id",
    "job": "job_id", "whe": "endpoint_id", "dlv": "delivery_id", "key": "key_id", "era": "erasure_id",
    "wrk": "worker_id", "upl": "upload_id", "ten": "tenant_id",
}  # fmt: skip
_MADE = {name for name in PARTS.values() if name != "upload_id"}
_ID = re.compile(r'"([a-z]{3})_([0-9a-f]{32})"')
_ENDLESS = "stream_job_events"  # answers only when somebody else has done something
_REMEMBERED = 3
_OFTEN = 8  # requests between two looks at whether there is a person who can be trained


@dataclass(frozen=True)
class Step:
    """One request: made up from the document, or with the body that its operation takes (`sound`)."""

    case: Any
    sound: bool
    waits: bool
    back: int
    """Which of the things that are there it names: 0 the newest."""


@dataclass
class Outcome:
    """How often each operation gave each status, and every answer that should not have come."""

    seen: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[int]:
        """Return how often each status came."""
        counted: Counter[int] = Counter()
        for (_, status), times in self.seen.items():
            counted[status] += times
        return counted

    @property
    def succeeded(self) -> set[str]:
        """Return the operations that did something at least once."""
        return {name for name, status in self.seen if status < 300}


class Known:
    """The newest things there are, of each kind that a request can name; never the key and tenant at work."""

    def __init__(self, makings: Makings, tenant: Tenant) -> None:
        self._makings, self._tenant = makings, tenant
        self._own = {tenant.key_id, tenant.id}
        self._newest = {part: deque([makings.id_of(part, tenant)], _REMEMBERED) for part in _MADE}

    def name_in(self, step: Step) -> None:
        """Name something that is there, where something is named."""
        case = step.case
        case.path_parameters = self.named(case.path_parameters or {}, step.back)
        if isinstance(case.body, dict | list):
            case.body = self.named(case.body, step.back)

    def learn_from(self, text: str) -> None:
        """Remember what an answer names."""
        for prefix, digits in _ID.findall(text):
            found = f"{prefix}_{digits}"
            if prefix in PARTS and found not in self._own:
                remembered = self._newest.setdefault(PARTS[prefix], deque(maxlen=_REMEMBERED))
                if found not in remembered:
                    remembered.append(found)

    def keep_usable(self) -> None:
        """Have a person who can be trained and restored: sequences erase them."""
        shown = self._tenant.http.get(f"/v1/identities/{self._newest['identity_id'][-1]}").json()
        if shown.get("state") not in {"ready", "training", "personalized"}:
            self._newest["identity_id"].append(self._makings.identity(self._tenant))

    def named(self, value: Any, back: int) -> Any:
        """Return a value with every id in it, by its field's name, that of something that is there."""
        if isinstance(value, list):
            return [self.named(inner, back) for inner in value]
        if not isinstance(value, dict):
            return value
        return {name: self._one(name, inner, back) for name, inner in value.items()}

    def _one(self, name: str, value: Any, back: int) -> Any:
        known = self._newest.get(name)
        return known[-1 - back % len(known)] if known and isinstance(value, str) else self.named(value, back)


def play(service: Service, tenant: Tenant, hand: Hand, number: int, well: int, ill: int) -> Outcome:
    """Send each operation `well` well-formed requests, and `ill` ill-formed ones where it takes a body.

    They are drawn from the seed `number` ahead, and sent in an order drawn from it, while a hand does the work.
    """
    known, outcome, session = Known(Makings(service, hand), tenant), Outcome(), requests.Session()
    session.headers["Authorization"] = f"Bearer {tenant.token}"
    with session, hand.working():
        for place, step in enumerate(_steps(number, well, ill)):
            if place % _OFTEN == 0:
                known.keep_usable()
            known.name_in(step)
            _take(step, service.url, session, outcome, known)
    return outcome


def _steps(number: int, well: int, ill: int) -> list[Step]:
    schema: Any = schemathesis.openapi.from_dict(json.loads(DOCUMENT.read_text())).exclude(operation_id=_ENDLESS)
    cases = []
    for operation in (found.ok() for found in schema.get_all_operations()):
        cases += _drawn(operation.as_strategy(), number, well)
        if operation.body and ill:
            cases += _drawn(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE), number, ill)
    chance = random.Random(number)
    chance.shuffle(cases)
    return [Step(case, chance.random() < 0.5, chance.random() < 0.5, chance.randrange(_REMEMBERED)) for case in cases]


def _drawn(cases: SearchStrategy[Any], number: int, count: int) -> list[Any]:
    """Return cases of one operation; drawn one operation at a time, since together some would hardly ever come."""
    found = []

    @seed(number)
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(cases)
    def draw(case: Any) -> None:
        found.append(case)

    draw()
    return found


def _take(step: Step, url: str, session: requests.Session, outcome: Outcome, known: Known) -> None:
    """Send one request, and judge its answer; what is wrong is noted, so that one run finds everything."""
    case, name = step.case, step.case.operation.definition.raw["operationId"]
    body = dict(body_of(name)) if step.sound else {}
    if body:
        answer = _sent_soundly(step, f"{url}{case.formatted_path}", body, session, known)
    else:
        answer = case.call(base_url=url, session=session)
    outcome.seen[name, answer.status_code] += 1
    try:
        case.validate_response(answer, checks=ALWAYS)
    except FailureGroup as found:
        what = "; ".join(f"{failure.title}: {failure.message}"[:300] for failure in found.exceptions)
        outcome.failures.append(f"{name} {answer.status_code}: {what}\n{case.as_curl_command()[:2000]}")
    if answer.status_code < 300:
        known.learn_from(answer.content.decode(errors="replace"))


def _sent_soundly(
    step: Step, address: str, body: dict[str, Any], session: requests.Session, known: Known
) -> requests.Response:
    for kind in ("json", "data"):
        if kind in body:
            body[kind] = known.named(body[kind], step.back)
    headers = {"Prefer": "wait=2"} if step.waits else {}
    return session.request(step.case.method, address, headers=headers, timeout=60, **body)
