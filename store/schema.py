"""The schema's version: what the migrations lead to, and where a database stands.

Alembic is imported where it is used: an API that only serves never loads it before it is asked whether it is ready.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from store.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent.parent / "migrations"


def config(url: str) -> "Config":
    """Return Alembic's configuration for one database."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    made.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return made


def upgrade(url: str, revision: str = "head") -> None:
    """Bring a database to a revision; the URL's login owns the tables."""
    from alembic import command

    command.upgrade(config(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Take a database back to a revision."""
    from alembic import command

    command.downgrade(config(url), revision)


def is_current(database: Database) -> bool:
    """Whether a database has the schema that this code wants."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with database.engine.connect().execution_options(read_only=True) as connection:
        here = MigrationContext.configure(connection).get_current_heads()
    return set(here) == set(ScriptDirectory(str(MIGRATIONS)).get_heads())


def missing(database: Database) -> list[str]:
    """Return what is not there: the database itself, or its schema."""
    try:
        return [] if is_current(database) else ["schema of this version"]
    except SQLAlchemyError:
        return ["database"]
