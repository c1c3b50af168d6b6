"""How the service's processes log: JSON lines in production, short lines for a person at a terminal."""

import logging
import sys

import structlog
from structlog.typing import Processor

from store.settings import Settings


def set_up(settings: Settings) -> None:
    """Choose the form of every log line of this process: what libraries say takes the same way as what we say."""
    person = settings.mode == "embedded"
    last = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if person else structlog.processors.JSONRenderer()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,  # the request, the job, the tenant that it is about
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if person else "iso", utc=not person),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING if person else logging.INFO),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # whatever stderr is by then
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler()
    name = structlog.stdlib.add_logger_name
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=last, foreign_pre_chain=[*shared, name]))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(not person)
