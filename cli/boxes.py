"""A face's place as a person types it; torch-free."""

from core.errors import InvalidOption

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels


def corners(text: str | None) -> Box | None:
    """Return X,Y,W,H as corners."""
    if text is None:
        return None
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise InvalidOption(f"got --box {text!r}, wanted four numbers X,Y,W,H in pixels") from None
    return x, y, x + width, y + height
