"""The how-to page against a service without networks; with `mini` it is in tests/cli/test_mini_served.py."""

from pathlib import Path

from tests.api.hand import Hand
from tests.api.service import Service, Tenant, png
from tests.how_to import follow


def test_the_page_works_as_it_is_written(service: Service, tenant: Tenant, hand: Hand, tmp_path: Path) -> None:
    """Every command of the page succeeds, in order, in one shell, and leaves the pictures it speaks of."""
    (tmp_path / "references").mkdir()
    for seed in range(3):
        (tmp_path / "references" / f"{seed}.png").write_bytes(png(seed))
    (tmp_path / "bad.jpg").write_bytes(png(9, format="JPEG"))
    with hand.working():
        follow(tmp_path, service.url, tenant.token)
