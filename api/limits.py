"""How fast one key may ask, and how much one body may hold."""

import math
import time
from collections.abc import Mapping

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from api.errors import Refusal

log = structlog.get_logger(__name__)

IMAGE_BYTES = 20 * 2**20
FILES = 20
JSON_BYTES = 128 * 2**10
UPLOAD_BYTES = IMAGE_BYTES + 2**20
BATCH_BYTES = 5 * IMAGE_BYTES
ADAPTER_BYTES = 64 * 2**20
FIELDS = 32
FIELD_BYTES = 16 * 2**10


class RateLimiter:
    """Counts requests per key and minute, in Redis where there is one, else in this process."""

    def __init__(self, per_minute: int, redis_url: str | None) -> None:
        self._item = RateLimitItemPerMinute(per_minute)
        self._local = FixedWindowRateLimiter(MemoryStorage())
        self._shared = FixedWindowRateLimiter(_storage(redis_url)) if redis_url else self._local

    async def hit(self, key: str) -> Mapping[str, str]:
        """Count one request and return the RateLimit headers; refuse the one too many."""
        try:
            return await self._hit(self._shared, key)
        except StorageError as error:
            log.warning("rate_limit_storage_away", error=str(error))
            return await self._hit(self._local, key)

    async def _hit(self, limiter: FixedWindowRateLimiter, key: str) -> Mapping[str, str]:
        allowed = await limiter.hit(self._item, key)
        window = await limiter.get_window_stats(self._item, key)
        seconds = max(1, math.ceil(window.reset_time - time.time()))
        headers = {
            "RateLimit-Policy": f'"key";q={self._item.amount};w={self._item.get_expiry()}',
            "RateLimit": f'"key";r={window.remaining};t={seconds}',
        }
        if not allowed:
            detail = f"got more than {self._item.amount} requests in a minute; wanted fewer; try again in {seconds} s"
            raise Refusal("rate_limited", detail, headers={**headers, "Retry-After": str(seconds)})
        return headers


def _storage(redis_url: str) -> Storage:
    storage = storage_from_string(f"async+{redis_url}", implementation="redispy", wrap_exceptions=True)
    assert isinstance(storage, Storage)
    return storage
