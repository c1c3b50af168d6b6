"""What a pull may refuse, by name."""

from core.errors import PreferError


class LicenceNotAccepted(PreferError):
    """The licences were shown and not accepted."""

    code = "licence_not_accepted"


class PullFailed(PreferError):
    """The hub did not give what was asked for; what has come so far is kept, and a new pull goes on from there."""

    code = "pull_failed"


class LockMismatch(PreferError):
    """The hub or the recipe offers something else than what the lock file recorded."""

    code = "lock_mismatch"
