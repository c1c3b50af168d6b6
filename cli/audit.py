"""`idprefer admin verify-audit`; and before anybody is served, the erasures that a backup has undone, done again."""

import contextlib
from pathlib import Path

import structlog
import typer

from store import erasure_ledger, settings, verification
from store.blobs_of import open_blobs
from store.database import Database, Role
from store.safe import Safe
from store.settings import Settings
from store.vault import Vault

log = structlog.get_logger(__name__)


def verify(data: Path | None, objects: bool) -> None:
    """Print what was tampered with; exit code 1 where anything was."""
    chosen = settings.load(data)
    with contextlib.closing(Database(chosen.database_url, role="ledger")) as database:
        found = list(verification.findings(database, _safe(chosen), objects))
    for line in found:
        typer.echo(line)
    if found:
        raise typer.Exit(1)
    looked_at = "audit logs, receipts, erasure ledger, data keys" + (", objects" if objects else "")
    typer.echo(f"Nothing was changed ({looked_at}).")


def erase_again(chosen: Settings, role: Role) -> None:
    """Begin again the erasures that a database from a backup knows nothing of, before anybody is served."""
    with contextlib.closing(Database(chosen.database_url, role=role)) as database:
        begun = erasure_ledger.replay(database, _safe(chosen))
    if begun:
        log.warning("erasures_begun_again", count=begun)


def _safe(chosen: Settings) -> Safe:
    return Safe(Vault(chosen.root_key_list()), open_blobs(chosen))
