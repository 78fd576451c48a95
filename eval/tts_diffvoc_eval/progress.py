"""Progress for a person who waits."""

from __future__ import annotations

import sys
import time


class Progress:
    """ "quality 34 of 160, 2.1 minutes left", on one line of a terminal, on a line every 15 seconds elsewhere."""

    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self.began = self.shown = time.monotonic()

    def step(self, note: str = "") -> None:
        self.done += 1
        now = time.monotonic()
        terminal, last = sys.stderr.isatty(), self.done >= self.total
        if not last and now - self.shown < (0.2 if terminal else 15.0):
            return
        self.shown = now
        left = (now - self.began) / self.done * (self.total - self.done)
        remaining = f"{left / 60:.1f} minutes left" if left > 90 else f"{left:.0f} s left"
        text = f"{self.what} {self.done} of {self.total}, {f'{now - self.began:.0f} s' if last else remaining} {note}"
        end = "\n" if last or not terminal else ""
        print(f"\r\x1b[K{text.strip()}" if terminal else text.strip(), end=end, file=sys.stderr, flush=True)
