"""What the archive refuses, by name: each message says what was got, what was wanted, and what to do."""

from typing import ClassVar


class StoreError(Exception):
    """A request that the rows or the blobs do not allow; `code` is its stable name for programs."""

    code: ClassVar[str] = "conflict"


class NotFound(StoreError):
    """There is no such row of this tenant."""

    code = "not_found"


class Gone(StoreError):
    """It was there, and has been deleted, erased, or has expired."""

    code = "gone"


class StateConflict(StoreError):
    """The state does not allow this."""

    code = "state_conflict"


class ConsentRequired(StoreError):
    """There is no live consent record for this purpose."""

    code = "consent_required"


class NoUsableReference(StoreError):
    """The identity has no accepted reference photo."""

    code = "no_usable_reference"


class NoAdapter(StoreError):
    """The identity has no active adapter."""

    code = "no_adapter"


class AdapterMismatch(StoreError):
    """The adapter was made for another backbone."""

    code = "adapter_mismatch"


class DamagedAdapter(StoreError):
    """The file is no adapter as this service writes them."""

    code = "damaged_adapter"


class InvalidRequest(StoreError):
    """A value is out of its range."""

    code = "invalid_request"


class QueueFull(StoreError):
    """The tenant has as many waiting jobs as it may have."""

    code = "queue_full"


class QuotaExceeded(StoreError):
    """The tenant has as many of these as it may have."""

    code = "quota_exceeded"


class TwinInFlight(StoreError):
    """A request with the same Idempotency-Key is still running."""

    code = "idempotency_in_flight"


class Fenced(StoreError):
    """The lease is another's by now, or the job is to stop: nothing of this run may be written."""

    code = "fenced"


class MissingBlob(StoreError):
    """There is no object of this name."""

    code = "gone"


class StorageDown(StoreError):
    """The object store does not answer, or has no room."""

    code = "unavailable"


class StorageRefused(StorageDown):
    """The object store does not let us in: to try again is of no use."""


class Tampered(StoreError):
    """Sealed bytes do not open: they were changed, cut, moved, or belong to somebody else."""

    code = "damaged_object"


class Shredded(StoreError):
    """The data key is gone, so nothing that it sealed can be read any more."""

    code = "gone"


class InsecureSettings(StoreError):
    """The settings are fit for one's own machine only, or contradict each other."""

    code = "insecure_settings"


class DatabaseAway(StoreError):
    """The database does not answer."""

    code = "unavailable"
