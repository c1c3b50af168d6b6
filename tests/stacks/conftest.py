"""What the tests of whole stacks share: plain logs, the tiny bundle."""

from tests.worker.conftest import plain_logs, tiny_folder

__all__ = ["plain_logs", "tiny_folder"]
