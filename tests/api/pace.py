"""Requests at a steady pace, and how long each of them took."""

import asyncio
import os
import statistics
import time
from dataclasses import dataclass

import httpx2

COUNT = 1000
PER_SECOND = 100.0


@dataclass(frozen=True)
class Paced:
    """How long each request took, and the machine's load when the last one was answered."""

    seconds: list[float]
    load: float

    @property
    def p99(self) -> float:
        """Return what all but the slowest hundredth stay below."""
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]

    def __str__(self) -> str:
        """Return the figures as they are told."""
        middle = statistics.median(self.seconds)
        return f"median {middle * 1000:.1f} ms, p99 {self.p99 * 1000:.1f} ms, load {self.load:.1f}"


async def keep_pace(base: str, key: str, job_id: str) -> Paced:
    """Send a thousand requests, a hundred each second whatever the answers: four look at a job, the fifth writes."""
    async with httpx2.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:

        async def one(number: int) -> float:
            await asyncio.sleep(number / PER_SECOND)
            started = time.perf_counter()
            if number % 5:
                answer = await client.get(f"/v1/jobs/{job_id}")
            else:
                answer = await client.post("/v1/identities", json={"name": "Ada"})
            assert answer.is_success, answer.text
            return time.perf_counter() - started

        seconds = await asyncio.gather(*(one(number) for number in range(COUNT)))
    return Paced(seconds, os.getloadavg()[0])
