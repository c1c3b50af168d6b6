"""What a worker waits at: somebody rings, or says that it is time to stop."""

import threading


class Bell:
    """A bell between threads: rings that nobody has heard yet are one ring."""

    def __init__(self) -> None:
        self._rung = threading.Event()
        self._stopped = threading.Event()
        self.drained = False  # whether an operator's drain is why to stop: then nothing is to be started in its place
        self.awake = False  # whether anybody listens yet: before that, nothing can have been begun

    def ring(self) -> None:
        """Wake whoever waits."""
        self._rung.set()

    def stop(self) -> None:
        """Say that nothing more is to be begun."""
        self._stopped.set()
        self._rung.set()

    @property
    def stopped(self) -> bool:
        """Say whether it is time to stop."""
        return self._stopped.is_set()

    def wait(self, seconds: float) -> None:
        """Wait for a ring, at most so long."""
        if self._rung.wait(seconds):
            self._rung.clear()
