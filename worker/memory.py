"""What running out of memory looks like: torch has a name for it on an accelerator, and words for it on a CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

_WORDS = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


@contextmanager
def named_out_of_memory() -> Iterator[None]:
    """Raise MemoryError for what is one in words only."""
    try:
        yield
    except RuntimeError as error:
        if any(words in str(error) for words in _WORDS):
            raise MemoryError(f"got no memory ({str(error).splitlines()[0][:200]}), wanted some") from error
        raise
