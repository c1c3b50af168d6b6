"""The settings of an installation as in production: Postgres, Redis, S3, and secrets that only tests have."""

import base64
from typing import Any

from pydantic import SecretStr

from store.settings import Settings
from tests.s3_server import S3Server


def production_settings(database_url: str, redis_url: str, s3: S3Server) -> Settings:
    """Return the settings over these servers."""
    return Settings(
        mode="production", database_url=database_url, redis_url=redis_url, requests_per_minute=1_000_000,
        root_keys=SecretStr(base64.b64encode(bytes(range(32))).decode()), session_secret=SecretStr("s" * 40),
        s3_endpoint=s3.endpoint, s3_bucket=s3.bucket, s3_secure=False, s3_region=s3.region,
        s3_access_key=SecretStr(s3.access_key), s3_secret_key=SecretStr(s3.secret_key),
    )  # fmt: skip


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the variables by which a process reads these settings."""
    values: dict[str, Any] = settings.model_dump(exclude_unset=True)
    shown = {name: v.get_secret_value() if isinstance(v, SecretStr) else str(v) for name, v in values.items()}
    return {f"IDPREFER_{name.upper()}": value for name, value in shown.items()}
