"""What the caretaker works with."""

from collections.abc import Callable
from dataclasses import dataclass

from housekeeping.outgoing import Address, is_public
from store.database import Database
from store.doorbell import Doorbell
from store.safe import Safe


@dataclass(frozen=True)
class Parts:
    """One caretaker's parts."""

    database: Database
    safe: Safe
    doorbell: Doorbell
    may_reach: Callable[[Address], bool] = is_public  # which addresses a webhook may be sent to
