"""A photo as it is handed in: decoded, checked and encoded anew by whoever received it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """Upright pixels without metadata, as PNG; `sha256` is that of the file as it was sent."""

    data: bytes
    width: int
    height: int
    sha256: str
    filename: str | None
