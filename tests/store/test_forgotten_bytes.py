"""What is deleted from an embedded database cannot be read in its files any more."""

from pathlib import Path

from sqlalchemy import text

from store.database import Database

_SECRET = "customer 17 of the front desk"


def _readable(folder: Path) -> bool:
    return any(_SECRET.encode() in path.read_bytes() for path in folder.iterdir())


def test_a_deleted_row_is_gone_from_the_files(tmp_path: Path) -> None:
    """Neither the file nor the log beside it holds a deleted row once the log is forgotten."""
    database = Database(f"sqlite:///{tmp_path / 'idprefer.sqlite3'}")
    with database.transaction(None) as session:
        session.execute(text("CREATE TABLE people (subject TEXT)"))
        session.execute(text("INSERT INTO people VALUES (:subject)"), {"subject": _SECRET})
    with database.transaction(None) as session:
        session.execute(text("DELETE FROM people"))
    assert _readable(tmp_path)
    database.forget_log()
    assert not _readable(tmp_path)
    database.close()


def test_a_reader_does_not_break_it(tmp_path: Path) -> None:
    """While somebody reads, the log stays; it is forgotten the next time."""
    database = Database(f"sqlite:///{tmp_path / 'idprefer.sqlite3'}")
    with database.transaction(None) as session:
        session.execute(text("CREATE TABLE people (subject TEXT)"))
        session.execute(text("INSERT INTO people VALUES (:subject)"), {"subject": _SECRET})
    with database.transaction(None, read_only=True) as session:
        assert session.scalar(text("SELECT count(*) FROM people")) == 1
        with database.transaction(None) as writer:
            writer.execute(text("DELETE FROM people"))
        database.forget_log()
    database.forget_log()
    assert not _readable(tmp_path)
    database.close()
