"""Adapters: what a training made, to use, to take along, to bring back."""

from typing import Annotated

from fastapi import File, Request, Response, UploadFile

from api.dependencies import IdempotencyKey, Once, Tx, begin, own, working
from api.errors import Refusal
from api.idempotency import answered
from api.limits import ADAPTER_BYTES
from api.pages import Cursor, Limit, Page, page
from api.routes.routing import router, scope
from api.schemas.adapters import Adapter
from core.errors import InvalidOption
from core.options import TrainOptions
from store import adapters, consents, models
from store.adapter_bytes import Checked, checked

routes = router("adapters")
_FILE = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@routes.get("/identities/{identity_id}/adapters", response_model=Page[Adapter], openapi_extra=scope("identities:read"))
def list_adapters(identity_id: str, work: Tx, limit: Limit = 20, cursor: Cursor = None) -> Page[Adapter]:
    """List a person's adapters, newest first."""
    own(work, models.Identity, identity_id)
    return page(work, models.Adapter, Adapter.model_validate, limit, cursor, identity_id=identity_id)


@routes.post(
    "/identities/{identity_id}/adapters/import",
    status_code=201,
    response_model=Adapter,
    openapi_extra=scope("adapters:import", max_bytes=ADAPTER_BYTES),
    form_limits={"max_files": 1},
)
def import_adapter(
    identity_id: str, file: Annotated[UploadFile, File()], request: Request, idempotency_key: IdempotencyKey = None
) -> Response:
    """Bring an adapter back; its names, shapes, types and numbers are checked before anything loads it."""
    with working(request, read_only=True) as work:  # refused before a byte is looked at
        consents.require(work.session, own(work, models.Identity, identity_id), "restore")
    brought = _of_known_options(checked(file.file.read()))  # here: nobody is to wait while 64 MiB are looked through
    with working(request) as work:
        once = begin(work, idempotency_key)
        row = adapters.bring(work.session, work.parts.safe, own(work, models.Identity, identity_id), brought)
        work.audit("adapter.imported", row.id)
        answer = once.keep(answered(201, Adapter.model_validate(row), location=f"/v1/adapters/{row.id}"))
    return answer.response()


def _of_known_options(brought: Checked) -> Checked:
    """Let in options that a training here can have, and no other text: an erasure cannot know what that would say."""
    try:
        TrainOptions.from_dict(brought.label.options)
    except InvalidOption as error:
        detail = "got an adapter trained with options that no training here has, wanted known ones; train it anew"
        raise Refusal("damaged_adapter", detail) from error
    return brought


@routes.get("/adapters/{adapter_id}", response_model=Adapter, openapi_extra=scope("identities:read"))
def get_adapter(adapter_id: str, work: Tx) -> Adapter:
    """Return one adapter: its state, its digests, how its training went."""
    return Adapter.model_validate(own(work, models.Adapter, adapter_id))


@routes.get(
    "/adapters/{adapter_id}/download",
    response_class=Response,
    responses={200: {"description": "The adapter as safetensors.", "content": _FILE}},
    openapi_extra=scope("adapters:export"),
)
def download_adapter(adapter_id: str, request: Request) -> Response:
    """Return the adapter's file; what has been downloaded cannot be recalled by an erasure."""
    with working(request, read_only=True) as work:  # apart: an erasure is not to wait while 64 MiB are read
        identity_id = own(work, models.Adapter, adapter_id).identity_id
        consents.require(work.session, own(work, models.Identity, identity_id), "restore")
    with working(request) as work:  # a GET that writes: the log says who took it along
        row = own(work, models.Adapter, adapter_id)
        data = adapters.read(work.session, work.parts.safe, row)
        work.audit("adapter.downloaded", row.id)
    name = {"Content-Disposition": f'attachment; filename="{row.id}.safetensors"'}
    return work.parts.downloads.answer(work.tenant_id, data, "application/octet-stream", name)


@routes.post("/adapters/{adapter_id}/activate", response_model=Adapter, openapi_extra=scope("identities:write"))
def activate_adapter(adapter_id: str, work: Tx, once: Once) -> Response:
    """Make this the adapter that restorations of the person use."""
    row = own(work, models.Adapter, adapter_id)
    adapters.activate(work.session, row)
    work.audit("adapter.activated", row.id)
    return once.keep(answered(200, Adapter.model_validate(row))).response()


@routes.delete("/adapters/{adapter_id}", status_code=204, openapi_extra=scope("identities:write"))
def delete_adapter(adapter_id: str, work: Tx) -> None:
    """Delete an adapter and its file."""
    row = own(work, models.Adapter, adapter_id)
    adapters.remove(work.session, row)
    work.audit("adapter.deleted", row.id)
