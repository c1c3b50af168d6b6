"""What the tests of hard days share: plain logs, a tiny bundle, quick presets."""

from tests.worker.conftest import plain_logs, quick_presets, tiny_folder

__all__ = ["plain_logs", "quick_presets", "tiny_folder"]
