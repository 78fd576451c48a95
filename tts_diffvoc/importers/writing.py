"""Writing an imported checkpoint: a folder that appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import torch

from tts_diffvoc import __version__
from tts_diffvoc.checkpoint import FILES, save_checkpoint
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import AnyVocoder
from tts_diffvoc.files import make_folder, reason
from tts_diffvoc.importers import Kind
from tts_diffvoc.importers.reading import Checkpoint, Settings


def check_output(output: Path, force: bool) -> None:
    """Refuse a place that holds something, which ``force`` allows where it is but a checkpoint of ours."""
    if output.exists() and not output.is_dir():
        raise DiffvocError(f"{output} is a file; give a folder to write to.")
    held = {path.name for path in output.iterdir()} if output.is_dir() else set()
    if held and not force:
        raise DiffvocError(f"the folder {output} is not empty; give another one, or --force to replace it.")
    if held - set(FILES):
        other = sorted(held - set(FILES))[0]
        raise DiffvocError(f"the folder {output} holds {other}, which is no part of a checkpoint; give another one.")


def card(kind: str, facts: Kind, checkpoint: Checkpoint, settings: Settings, notes: list[str], name: str) -> str:
    """A short model card: where the weights come from, and what had to be assumed."""
    assumed = "\n".join(f"- `{key}`: {json.dumps(value)}" for key, value in settings.assumed.items())
    told = f"Assumed, because the file does not say:\n\n{assumed}" if assumed else "Nothing had to be assumed."
    return f"""---
license: that of the imported weights
author: {facts.author}
---
{facts.about}, imported from {checkpoint.path.name}.

# {name}: an imported vocoder

| | |
| --- | --- |
| file | `{checkpoint.path.name}` |
| sha256 | `{checkpoint.sha256}` |
| kind | `{kind}` |
| settings from | `{Path(settings.source).name}` |
| imported by | tts-diffvoc {__version__} |

{told}

""" + "\n".join([*notes, ""])


def write_folder(vocoder: AnyVocoder, output: Path, card: str) -> None:
    """Write the folder beside ``output``, then rename it; a checkpoint that is there goes once the new one is."""
    make_folder(output.parent)
    beside = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".part", dir=output.parent))
    new, old = beside / "new", beside / "old"
    try:
        save_checkpoint(vocoder, new, card, torch.float32)
        if output.is_dir():
            os.replace(output, old)
        try:
            os.replace(new, output)
        except OSError:
            if old.is_dir():
                os.replace(old, output)
            raise
    except OSError as error:
        raise DiffvocError(f"{output} cannot be written: {reason(error)}.") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
