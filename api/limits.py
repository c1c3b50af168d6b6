"""How fast one key may ask, and how much one body may hold."""

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError

from api.errors import Refusal
from core.photo_limits import MAX_BYTES

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

log = structlog.get_logger(__name__)

IMAGE_BYTES = MAX_BYTES
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
        self._redis = _pool(redis_url) if redis_url else None
        self._shared = FixedWindowRateLimiter(_storage(str(redis_url), self._redis)) if self._redis else self._local

    async def hit(self, key: str) -> Mapping[str, str]:
        """Count one request and return the RateLimit headers; refuse the one too many."""
        try:
            return await self._hit(self._shared, key)
        except StorageError as error:
            log.warning("rate_limit_storage_away", error=str(error))
            return await self._hit(self._local, key)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._redis is not None:
            await self._redis.aclose()

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


def _pool(redis_url: str) -> "ConnectionPool":
    """Return connections to Redis; one that does not answer within a second counts as away."""
    from redis.asyncio import ConnectionPool  # lazily: embedded, its client is never loaded

    return ConnectionPool.from_url(redis_url, socket_connect_timeout=1, socket_timeout=1)


def _storage(redis_url: str, pool: "ConnectionPool") -> RedisStorage:
    uri = f"async+{redis_url}"
    options: dict[str, Any] = {"connection_pool": pool}  # documented, though its annotation does not say so
    return RedisStorage(uri, wrap_exceptions=True, implementation="redispy", **options)
