"""What one step of model-written code may use."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of one run, of one interpreter's processes, and of what a run says.

    A run is always one process with one thread, so there is no number of processes to set: `fork`
    and thread creation fail inside.
    """

    cpu_s: float = 5.0
    """CPU seconds of a run; the kernel's own limit, a second later, stands behind it."""
    wall_s: float = 15.0
    """Seconds of a run, whatever it does with them (AlphaMath: 15 per snippet)."""
    memory_bytes: int = 512 * 2**20
    """Address space beyond that of a fresh interpreter, of a state with all its ancestors' steps."""
    file_bytes: int = 16 * 2**20
    """Size of one file; where the folder is a tmpfs, also of all files of all runs together."""
    open_files: int = 64
    """Open descriptors of a run."""
    flood_chars: int = 100_000
    """Characters a run may print before it is stopped with the error `output`."""
    output_chars: int = 500
    """Characters of output which are kept, half from its start and half from its end (AlphaMath)."""
    float_decimals: int = 4
    """Decimals of a printed line which is one number (AlphaMath)."""
    max_running: int = 4
    """Runs at once; further ones wait, and the wait does not count."""
    max_states: int = 64
    """States kept as processes; the least recently used one is dropped, and replayed if needed."""

    kept_bytes: int = 4 * 2**30
    """Memory of kept states together, beyond a fresh one's; what a state shares with its parent
    counts for both. Above it too, the least recently used one is dropped."""

    def __post_init__(self) -> None:
        """Refuse what cannot bound anything.

        Raises:
            ValueError: Not a positive number.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name != "float_decimals"):
                raise ValueError(f"{field.name} must be positive, got {value}")
