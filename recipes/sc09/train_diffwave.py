"""DiffWave without a mel on SC09, the digits of Speech Commands: recipes/fsdd/train_diffwave.py, for this corpus alone.

    python recipes/sc09/train_diffwave.py unconditional --data SPEECH_COMMANDS --output runs/sc09 --size published \\
        --minutes 600 --device cuda
    python recipes/sc09/train_diffwave.py conditional --data SPEECH_COMMANDS --output runs/thin --size deep-thin \\
        --minutes 600 --device cuda

Sizes: small (default, folded, for a CPU), published (36 layers of 256 channels) and deep-thin (48 of 128), as in
Kong et al. 2021, sections 5.2 and 5.3. The same line goes on where it was stopped.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # for recipes.fsdd, wherever this is started

from recipes.fsdd import train_diffwave as recipe
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc_eval.generation import sc09 as digits


def main(arguments: list[str] | None = None) -> None:
    options = recipe.parse(arguments)
    try:
        digits.listed(options.data)  # FSDD is what the other recipe would take, too
    except DiffvocError as error:
        sys.exit(f"error: {error}")
    recipe.main(arguments)


if __name__ == "__main__":
    main()
