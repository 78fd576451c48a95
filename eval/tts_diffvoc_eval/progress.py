"""Progress on the terminal: a tqdm bar, which writes a line every 15 seconds where there is no terminal."""

from __future__ import annotations

import sys

from tqdm import tqdm


class Progress(tqdm):
    """A bar of ``total`` steps, named ``what``."""

    def __init__(self, what: str, total: int) -> None:
        super().__init__(desc=what, total=total, mininterval=0.2 if sys.stderr.isatty() else 15.0, dynamic_ncols=True)

    def step(self, note: str = "") -> None:
        """One step more; ``note`` is what it was."""
        self.set_postfix_str(note, refresh=False)
        self.update()
        if self.n >= self.total:
            self.close()
