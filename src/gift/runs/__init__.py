"""The run folder: everything that is written to it and read from it."""

from gift.runs.environment import environment, peak_memory_mb, reset_peak_memory
from gift.runs.folder import RunFolder, State
from gift.runs.records import Event, Kept, KeptFolder, KeptGroup, Storage, Summary

__all__ = [
    "Event",
    "Kept",
    "KeptFolder",
    "KeptGroup",
    "RunFolder",
    "State",
    "Storage",
    "Summary",
    "environment",
    "peak_memory_mb",
    "reset_peak_memory",
]
