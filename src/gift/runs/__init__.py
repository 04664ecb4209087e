"""The run folder: written and read here alone."""

from gift.runs.folder import RunFolder, environment, peak_memory_mb, reset_peak_memory

__all__ = ["RunFolder", "environment", "peak_memory_mb", "reset_peak_memory"]
