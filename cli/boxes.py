"""A face's place as a person types it; torch-free."""

from core.errors import InvalidOption

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels


def corners(text: str | None) -> Box | None:
    """Return X0,Y0,X1,Y1 as numbers, the order in which messages and reports name a face's box."""
    if text is None:
        return None
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise InvalidOption(f"got --box {text!r}, wanted four numbers X0,Y0,X1,Y1 in pixels") from None
    return x0, y0, x1, y1
