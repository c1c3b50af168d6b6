"""What anybody may know: the keys that verify the manifests in restored pictures."""

from fastapi import APIRouter

from api.dependencies import PartsOf
from api.routes.routing import PROBLEMS, operation_id
from api.schemas.restorations import ManifestKeys
from store import manifests

routes = APIRouter(tags=["verify"], responses=PROBLEMS, generate_unique_id_function=operation_id)


@routes.get("/.well-known/idprefer-manifest-keys", response_model=ManifestKeys)
def get_manifest_keys(parts: PartsOf) -> ManifestKeys:
    """Return the public keys, without any key of the API: whoever has a picture may check who signed it."""
    return ManifestKeys(type=manifests.TYPE, keys=manifests.public_keys(parts.safe.vault))
