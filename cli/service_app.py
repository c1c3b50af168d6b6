"""The service's commands and their options; what does the work is imported when a command runs."""

from pathlib import Path
from typing import Annotated

import typer

admin_app = typer.Typer(no_args_is_help=True, help="Tenants, keys, jobs, workers and queues, for whoever runs it.")
tenants_app = typer.Typer(no_args_is_help=True, help="The customers of the service.")
keys_app = typer.Typer(no_args_is_help=True, help="A tenant's API keys.")
workers_app = typer.Typer(no_args_is_help=True, help="The worker processes.")
admin_app.add_typer(tenants_app, name="tenants")
admin_app.add_typer(keys_app, name="keys")
admin_app.add_typer(workers_app, name="workers")

Data = Annotated[
    Path | None, typer.Option(help="Folder of database, photos and secrets.", show_default="idprefer-data")
]
ServedBundle = Annotated[
    str | None, typer.Option("--bundle", help="Name of a bundle, or its folder.", show_default="mini")
]
Device = Annotated[str, typer.Option(help="A torch device; auto: the accelerator there is, else the CPU.")]
Batch = Annotated[int, typer.Option(min=1, max=256, help="Restorations that run at once, at most.")]
Cache = Annotated[int, typer.Option(min=1, help="Megabytes of adapters and references kept in memory.")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=1024, help="CPU threads of each worker process.", show_default="all cores but one"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
TenantId = Annotated[str, typer.Argument(help="As `admin tenants list` shows it.")]
Days = Annotated[int | None, typer.Option(min=0, max=3650, help="In days; 0: until somebody deletes them.")]


def serve(
    data: Data = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets others in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    bundle: ServedBundle = None,
    device: Device = "auto",
    batch: Batch = 8,
    cache_megabytes: Cache = 1024,
    threads: Threads = None,
) -> None:
    """Serve API and studio; embedded, with housekeeping and a worker: everything there is, on this machine."""
    from cli import serve, working

    serve.run(data, host, port, working.Choices(bundle, device, batch, cache_megabytes, threads))


def worker(
    data: Data = None,
    bundle: ServedBundle = None,
    device: Device = "auto",
    batch: Batch = 8,
    cache_megabytes: Cache = 1024,
    threads: Threads = None,
    processes: Annotated[int, typer.Option(min=1, help="Under Celery: processes, one for each accelerator.")] = 1,
) -> None:
    """Work on jobs: under Celery where IDPREFER_REDIS_URL is set, else by looking for them."""
    from cli import worker, working

    worker.run(data, working.Choices(bundle, device, batch, cache_megabytes, threads), processes)


def housekeeping(data: Data = None) -> None:
    """Sweep, deliver webhooks, expire and erase; `serve` does so itself when it is embedded."""
    from cli import housekeeping

    housekeeping.run(data)


def migrate(data: Data = None) -> None:
    """Bring the database's schema up to date and make the bucket; `serve` does so itself when it is embedded."""
    from store import schema, settings
    from store.blobs_of import open_blobs

    chosen = settings.load(data)
    schema.upgrade(chosen.database_url)
    open_blobs(chosen).prepare()


@tenants_app.command("list")
def list_tenants(data: Data = None, as_json: AsJson = False) -> None:
    """Print all tenants, newest first."""
    from cli.admin import Admin

    Admin(data, as_json).tenants()


@tenants_app.command("create")
def create_tenant(
    name: Annotated[str, typer.Argument(help="For people to know it by.")],
    weight: Annotated[float, typer.Option(min=0.001, max=1000, help="Its share of the workers.")] = 1.0,
    operator: Annotated[bool, typer.Option(help="Its first key may administer everything.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a tenant; its first key is shown this once."""
    from cli.admin import Admin

    Admin(data, as_json).create_tenant(name, weight, operator)


@tenants_app.command("change")
def change_tenant(
    tenant_id: TenantId,
    name: Annotated[str | None, typer.Option(help="For people to know it by.")] = None,
    weight: Annotated[float | None, typer.Option(min=0.001, max=1000, help="Its share of the workers.")] = None,
    max_queued_jobs: Annotated[int | None, typer.Option(min=0)] = None,
    max_running_jobs: Annotated[int | None, typer.Option(min=0)] = None,
    max_identities: Annotated[int | None, typer.Option(min=0)] = None,
    suspended: Annotated[bool | None, typer.Option(help="A suspended tenant's keys do not work.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Change a tenant's name, share or quotas, or suspend it."""
    from cli.admin import Admin

    values = {
        "name": name, "weight": weight, "max_queued_jobs": max_queued_jobs, "max_running_jobs": max_running_jobs,
        "max_identities": max_identities, "suspended": suspended,
    }  # fmt: skip
    Admin(data, as_json).change_tenant(tenant_id, {k: value for k, value in values.items() if value is not None})


@tenants_app.command("retention")
def set_retention(
    tenant_id: TenantId,
    references: Days = None,
    restorations: Days = None,
    uploads: Days = None,
    unused_adapters: Days = None,
    unused_identities: Days = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Say for how many days a tenant's things are kept; without options, print what holds."""
    from cli.admin import Admin

    given = {
        "references_days": references, "restorations_days": restorations, "uploads_days": uploads,
        "unused_adapters_days": unused_adapters, "unused_identities_days": unused_identities,
    }  # fmt: skip
    days = {name: value or None for name, value in given.items() if value is not None}
    Admin(data, as_json).retention(tenant_id, days)


@keys_app.command("list")
def list_keys(tenant_id: TenantId, data: Data = None, as_json: AsJson = False) -> None:
    """Print a tenant's keys, without their secrets."""
    from cli.admin import Admin

    Admin(data, as_json).keys(tenant_id)


@keys_app.command("create")
def create_key(
    tenant_id: TenantId,
    name: Annotated[str, typer.Option(help="What it is for.")] = "made by an operator",
    scope: Annotated[list[str] | None, typer.Option(help="What it may do; several times.", show_default="all")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a key; its text is shown this once."""
    from cli.admin import Admin

    Admin(data, as_json).create_key(tenant_id, name, scope or [])


@keys_app.command("revoke")
def revoke_key(
    tenant_id: TenantId,
    key_id: Annotated[str, typer.Argument(help="As `admin keys list` shows it.")],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """End a key now."""
    from cli.admin import Admin

    Admin(data, as_json).revoke_key(tenant_id, key_id)


@admin_app.command("jobs")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="queued, running, failed ...")] = None,
    kind: Annotated[str | None, typer.Option(help="assess, restore or train.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Print the latest jobs of all tenants."""
    from cli.admin import Admin

    Admin(data, as_json).jobs(state, kind)


@workers_app.command("list")
def list_workers(data: Data = None, as_json: AsJson = False) -> None:
    """Print the worker processes, the latest heard of first."""
    from cli.admin import Admin

    Admin(data, as_json).workers()


@workers_app.command("drain")
def drain_worker(
    worker_id: Annotated[str, typer.Argument(help="As `admin workers list` shows it.")],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Let a worker finish what it has and claim nothing more; none takes its place until it is started anew."""
    from cli.admin import Admin

    Admin(data, as_json).drain(worker_id)


@admin_app.command("queues")
def list_queues(data: Data = None, as_json: AsJson = False) -> None:
    """Say how the installation is doing: what is wrong, what waits, who works on what, what failed, storage."""
    from cli.admin import Admin

    Admin(data, as_json).queues()


@admin_app.command("health")
def show_health(
    process: Annotated[str, typer.Argument(help="worker (of this host) or housekeeping.")],
    data: Data = None,
) -> None:
    """End with exit code 1 where such a process is not at work: for a container's health check."""
    from cli.admin import Admin

    if process not in ("worker", "housekeeping"):
        raise typer.BadParameter(f"got {process!r}, wanted worker or housekeeping")
    Admin(data, as_json=False).health(process)


@admin_app.command("verify-audit")
def verify_audit(
    objects: Annotated[bool, typer.Option(help="Open every sealed object too, which takes long.")] = False,
    data: Data = None,
) -> None:
    """Look for tampering: audit logs, receipts, erasure ledger, data keys; exit code 1 where there was any."""
    from cli import audit

    audit.verify(data, objects)


@admin_app.command("seal-keys-anew")
def seal_keys_anew(data: Data = None) -> None:
    """After a new root key was put first: seal every tenant's key under it, so that the old one can be taken out."""
    from cli import audit

    audit.seal_anew(data)


def add_to(app: typer.Typer) -> None:
    """Add the service's commands to the command line."""
    for command in (serve, worker, housekeeping, migrate):
        app.command()(command)
    app.add_typer(admin_app, name="admin")
