"""Generated digits: who makes them, who judges them, and by what."""
