"""How fast a key and a tenant may ask, and how much one body may hold."""

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
KEYS_AT_FULL_RATE = 4
"""A tenant may ask as often as so many of its keys, however many it makes."""


class RateLimiter:
    """Counts requests per key, per tenant and minute, in Redis where there is one, else in this process."""

    def __init__(self, per_minute: int, redis_url: str | None) -> None:
        self._items = {
            "key": RateLimitItemPerMinute(per_minute, namespace="key"),
            "tenant": RateLimitItemPerMinute(KEYS_AT_FULL_RATE * per_minute, namespace="tenant"),
        }
        self._local = FixedWindowRateLimiter(MemoryStorage())
        self._redis = _pool(redis_url) if redis_url else None
        self._shared = FixedWindowRateLimiter(_storage(str(redis_url), self._redis)) if self._redis else self._local

    async def hit(self, key: str, tenant: str) -> Mapping[str, str]:
        """Count one request and return the RateLimit headers; refuse the one too many of the key or of its tenant."""
        try:
            return await self._hit_both(self._shared, key, tenant)
        except StorageError as error:
            log.warning("rate_limit_storage_away", error=str(error))
            return await self._hit_both(self._local, key, tenant)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._redis is not None:
            await self._redis.aclose()

    async def _hit_both(self, limiter: FixedWindowRateLimiter, key: str, tenant: str) -> Mapping[str, str]:
        of_key = await self._hit(limiter, "key", key)
        of_tenant = await self._hit(limiter, "tenant", tenant)  # a key that is refused takes nothing from the others
        return {name: f"{of_key[name]}, {of_tenant[name]}" for name in of_key}

    async def _hit(self, limiter: FixedWindowRateLimiter, who: str, name: str) -> Mapping[str, str]:
        item = self._items[who]
        allowed = await limiter.hit(item, name)
        window = await limiter.get_window_stats(item, name)
        seconds = max(1, math.ceil(window.reset_time - time.time()))
        headers = {
            "RateLimit-Policy": f'"{who}";q={item.amount};w={item.get_expiry()}',
            "RateLimit": f'"{who}";r={window.remaining};t={seconds}',
        }
        if not allowed:
            detail = f"got more than {item.amount} requests of one {who} in a minute; wanted fewer"
            headers["Retry-After"] = str(seconds)
            raise Refusal("rate_limited", f"{detail}; try again in {seconds} s", headers=headers)
        return headers


def _pool(redis_url: str) -> "ConnectionPool":
    """Return connections to Redis; one that does not answer within a second counts as away."""
    from redis.asyncio import ConnectionPool  # lazily: embedded, its client is never loaded

    return ConnectionPool.from_url(redis_url, socket_connect_timeout=1, socket_timeout=1)


def _storage(redis_url: str, pool: "ConnectionPool") -> RedisStorage:
    uri = f"async+{redis_url}"
    options: dict[str, Any] = {"connection_pool": pool}  # documented, though its annotation does not say so
    return RedisStorage(uri, wrap_exceptions=True, implementation="redispy", **options)
