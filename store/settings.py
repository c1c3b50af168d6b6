"""The settings, read once at the composition root and passed down from there."""

import base64
import binascii
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from store.errors import InsecureSettings

KEY_BYTES = 32
_SECRETS = "secrets.env"
_KNOWN = {"", "secret", "changeme", "change-me", "password", "minioadmin", "postgres"}


class Settings(BaseSettings):
    """What one installation is set to; the environment's names begin with IDPREFER_."""

    model_config = SettingsConfigDict(env_prefix="IDPREFER_", env_file_encoding="utf-8", extra="ignore")

    mode: Literal["embedded", "production"] = "embedded"
    data_dir: Path = Path("idprefer-data")  # embedded: the database, the blobs, the secrets
    database_url: str = ""  # production: postgresql+psycopg://...
    redis_url: str = ""  # production: redis://...; empty: workers look by themselves
    s3_endpoint: str = ""  # host:port of any S3 API; empty: local files
    s3_bucket: str = "idprefer"
    s3_region: str = "us-east-1"
    s3_secure: bool = True  # https
    s3_access_key: SecretStr = SecretStr("")
    s3_secret_key: SecretStr = SecretStr("")
    root_keys: SecretStr = SecretStr("")  # base64 of 32 bytes each, by commas; the first seals, the others open
    session_secret: SecretStr = SecretStr("")  # signs the studio's cookies
    bundle: str = "mini"
    accelerator_locks: Path | None = None  # shared by the workers of one machine: each of them takes one accelerator
    threads: int | None = Field(default=None, ge=1, le=1024)  # of each worker process; None: all cores but one
    content_credentials: bool = False  # C2PA in every picture; needs the extra c2pa
    requests_per_minute: int = Field(default=600, ge=1, le=1_000_000)  # of one key; of a tenant four times that
    tenant_upload_bytes: int = Field(default=20 * 2**30, ge=0)  # of photos sent ahead that one tenant may keep
    tenant_references: int = Field(default=100_000, ge=0)  # reference photos that one tenant may keep

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.mode == "embedded" and not self.database_url:
            self.database_url = f"sqlite:///{self.data_dir / 'idprefer.sqlite3'}"
        return self

    def root_key_list(self) -> list[bytes]:
        """Return the vault's root keys, the current one first."""
        return [_key(text) for text in self.root_keys.get_secret_value().split(",")]


def load(data_dir: Path | None = None) -> Settings:
    """Read the environment; embedded, make the secrets on the first start; refuse what is insecure in production."""
    settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    if settings.mode == "embedded":
        return _with_own_secrets(settings)
    check_production(settings)
    return settings


def check_production(settings: Settings) -> None:
    """InsecureSettings for what is fit for one's own machine only."""
    wrong = []
    if not settings.database_url.startswith("postgresql+psycopg://"):
        wrong.append(("IDPREFER_DATABASE_URL", "postgresql+psycopg://... (SQLite has no row-level security)"))
    if _weak(settings.session_secret):
        wrong.append(("IDPREFER_SESSION_SECRET", "at least 32 random characters"))
    if _weak(settings.root_keys):
        wrong.append(("IDPREFER_ROOT_KEYS", "base64 of 32 random bytes (`openssl rand -base64 32`)"))
    if settings.s3_endpoint and settings.s3_secret_key.get_secret_value() in _KNOWN:
        wrong.append(("IDPREFER_S3_SECRET_KEY", "a secret of your own"))
    if wrong:
        lines = "; ".join(f"{name}: wanted {wanted}" for name, wanted in wrong)
        raise InsecureSettings(f"got settings that are not fit for production; {lines}")
    settings.root_key_list()


def _weak(secret: SecretStr) -> bool:
    return len(secret.get_secret_value()) < KEY_BYTES or secret.get_secret_value() in _KNOWN


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise InsecureSettings(
            f"got a root key of {len(key)} bytes, wanted base64 of {KEY_BYTES}; mend IDPREFER_ROOT_KEYS"
        )
    return key


def _with_own_secrets(settings: Settings) -> Settings:
    """Return embedded settings with secrets of this data folder, made on the first start."""
    path = settings.data_dir / _SECRETS
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        _write_once(path)
    return Settings(_env_file=path, data_dir=settings.data_dir, mode="embedded")  # type: ignore[call-arg]


def _write_once(path: Path) -> None:
    """Write secrets that nobody else has; of processes that start at the same time, the first one's stay."""
    root = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # for this user's eyes only
    with os.fdopen(handle, "w") as file:
        file.write(f"IDPREFER_ROOT_KEYS={root}\nIDPREFER_SESSION_SECRET={secrets.token_urlsafe(KEY_BYTES)}\n")
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        path.hardlink_to(partial)
    Path(partial).unlink()
