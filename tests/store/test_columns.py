"""The database's clock, alike on both databases."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select

from store.columns import age, now
from store.models import Identity
from store.people import create
from tests.store.archive import Archive


def test_the_database_knows_the_time(archive: Archive) -> None:
    """`now` is aware, close to ours, and can be moved; `age` counts the seconds since."""
    with archive.of(None) as session:
        moment, later = session.execute(select(now(), now(90.5))).one()
        assert moment.tzinfo is UTC
        assert abs(datetime.now(UTC) - moment) < timedelta(seconds=5)
        assert (later - moment).total_seconds() == pytest.approx(90.5, abs=0.01)
        assert session.scalar(select(age(now(-60)))) == pytest.approx(60, abs=0.1)


def test_a_moment_comes_back_as_it_was_given(archive: Archive) -> None:
    """A moment of any zone is kept in UTC, to the microsecond, and compares with the database's own."""
    tenant = archive.tenant()
    given = datetime(2026, 2, 3, 4, 5, 6, 789012, timezone(timedelta(hours=5)))
    with archive.api.transaction(tenant) as session:
        row = create(session, tenant, "Ada")
        row.held_at = given
        session.flush()
        session.refresh(row)
        assert row.held_at == given
        assert session.scalar(select(Identity.id).where(Identity.held_at < now(-1))) == row.id
        assert session.scalar(select(Identity.id).where(Identity.created_at < now(-5))) is None
