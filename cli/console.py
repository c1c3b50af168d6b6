"""Where commands print: text as it is, since names may hold [brackets] and :words:; torch-free."""

from rich.console import Console


def plain_console(stderr: bool = False, quiet: bool = False) -> Console:
    """Return a console that takes nothing in a text for markup; styles are given beside it.

    Lines are broken for a terminal alone: what another program reads, or a person copies from a log, stays whole.
    """
    console = Console(markup=False, emoji=False, highlight=False, stderr=stderr, quiet=quiet)
    console.soft_wrap = not console.is_terminal
    return console
