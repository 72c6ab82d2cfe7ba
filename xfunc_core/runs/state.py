"""The states of a run."""

from __future__ import annotations

from enum import Enum


class RunState(Enum):
    """What a run is doing; the value is what files and scripts see.

    LOST and BROKEN are never stored: they are what is found on looking.
    """

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    BROKEN = "broken"

    @property
    def label(self) -> str:
        """The name on screen."""
        return self.value.capitalize()

    @property
    def sentence(self) -> str:
        """What it means and, if anything is to be done, what."""
        return {
            "queued": "Waiting for a free slot.",
            "running": "Working; it goes on without the browser and without the app.",
            "finished": "Done; its results are ready.",
            "failed": "Stopped on an error; the log has the details.",
            "cancelled": "Stopped on request; resume goes on from the last finished epoch.",
            "lost": "The process is gone and left no result (killed, out of memory, or the machine went down); resume goes on from the last finished epoch.",
            "broken": "The run's folder cannot be read; repair its files or delete it.",
        }[self.value]

    @property
    def is_active(self) -> bool:
        """Whether something will still happen by itself."""
        return self in (RunState.QUEUED, RunState.RUNNING)

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens unless somebody acts."""
        return not self.is_active

    @property
    def is_recorded(self) -> bool:
        """Whether a worker writes this state as its outcome."""
        return self in (RunState.FINISHED, RunState.FAILED, RunState.CANCELLED)

    @property
    def can_retry(self) -> bool:
        """Whether the run can go back into the queue."""
        return self in (RunState.FAILED, RunState.CANCELLED, RunState.LOST)
