"""Where commands print: text as it is, since names may hold [brackets] and :words:; torch-free."""

from rich.console import Console


def plain_console(stderr: bool = False, quiet: bool = False) -> Console:
    """Return a console that takes nothing in a text for markup; styles are given beside it."""
    return Console(markup=False, emoji=False, highlight=False, stderr=stderr, quiet=quiet)
