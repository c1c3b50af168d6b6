"""`idprefer admin verify-audit`; and before anybody is served, the erasures that a backup has undone, done again."""

import contextlib
from pathlib import Path

import structlog
import typer

from store import erasure_ledger, queries, settings, verification
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


def seal_anew(data: Path | None) -> None:
    """Seal every tenant's key under the first root key: photos, embeddings and adapters stay as they lie."""
    chosen = settings.load(data)
    safe = _safe(chosen)
    with contextlib.closing(Database(chosen.database_url, role="ledger")) as database:
        with database.transaction(None, read_only=True) as session:
            tenant_ids = queries.tenant_ids(session)
        changed = 0
        for tenant_id in tenant_ids:
            with database.transaction(tenant_id) as session:
                changed += safe.vault.rewrap(session, tenant_id)
    erasure_ledger.sign_anew(safe)
    typer.echo(f"{changed} of {len(tenant_ids)} tenants' keys were sealed anew under the first root key.")


def erase_again(chosen: Settings, role: Role) -> None:
    """Begin again the erasures that a database from a backup knows nothing of, before anybody is served."""
    with contextlib.closing(Database(chosen.database_url, role=role)) as database:
        begun = erasure_ledger.replay(database, _safe(chosen))
    if begun:
        log.warning("erasures_begun_again", count=begun)


def _safe(chosen: Settings) -> Safe:
    return Safe(Vault(chosen.root_key_list()), open_blobs(chosen))
