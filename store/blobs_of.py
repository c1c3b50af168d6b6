"""Which blobs an installation has: an S3 API where one is set, else files in its data folder."""

from store.blobs import Blobs, LocalBlobs
from store.settings import Settings


def open_blobs(settings: Settings) -> Blobs:
    """Return the blobs that the settings name."""
    if not settings.s3_endpoint:
        return LocalBlobs(settings.data_dir / "blobs")
    from store.s3 import S3Blobs  # lazily: embedded, its client is never loaded

    return S3Blobs(
        settings.s3_endpoint,
        settings.s3_bucket,
        settings.s3_access_key.get_secret_value(),
        settings.s3_secret_key.get_secret_value(),
        settings.s3_region,
        settings.s3_secure,
    )
