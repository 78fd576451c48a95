"""Writing an imported checkpoint: a folder that appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from tts_diffvoc import __version__
from tts_diffvoc.checkpoint import FILES, FORMAT, WEIGHTS, write_weights
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.importers import Kind
from tts_diffvoc.importers.reading import Checkpoint, Converted, Settings

OURS = set(FILES)


def check_output(output: Path, force: bool) -> None:
    """Refuse a place that holds something, which ``force`` allows where it is but a checkpoint of ours."""
    if output.exists() and not output.is_dir():
        raise DiffvocError(f"{output} is a file; give a folder to write to.")
    held = {path.name for path in output.iterdir()} if output.is_dir() else set()
    if held and not force:
        raise DiffvocError(f"the folder {output} is not empty; give another one, or --force to replace it.")
    if held - OURS:
        raise DiffvocError(
            f"the folder {output} holds {sorted(held - OURS)[0]}, which is no part of a checkpoint; give another one."
        )


def card(kind: str, facts: Kind, checkpoint: Checkpoint, converted: Converted, settings: Settings, name: str) -> str:
    """A short model card: where the weights come from, and what had to be assumed."""
    assumed = [f"- `{key}`: {json.dumps(value)}" for key, value in settings.assumed.items()]
    lines = [
        "---",
        "license: that of the imported weights",
        f"author: {facts.author}",
        "---",
        f"{facts.about}, imported from {checkpoint.path.name}.",
        "",
        f"# {name}: an imported vocoder",
        "",
        "| | |",
        "| --- | --- |",
        f"| file | `{checkpoint.path.name}` |",
        f"| sha256 | `{checkpoint.sha256}` |",
        f"| kind | `{kind}` |",
        f"| settings from | `{Path(settings.source).name}` |",
        f"| imported by | tts-diffvoc {__version__} |",
        "",
        "Assumed, because the file does not say:" if assumed else "Nothing had to be assumed.",
        "",
        *assumed,
        *([""] if assumed else []),
        *converted.notes,
    ]
    return "\n".join(lines).rstrip() + "\n"


def write_folder(output: Path, converted: Converted, card: str, force: bool) -> None:
    """Write the folder beside ``output``, then rename it."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".part", dir=output.parent))
    except OSError as error:
        raise DiffvocError(f"{output.parent} cannot be written to: {error.strerror or error}.") from None
    try:
        new = beside / "new"
        new.mkdir()
        write_weights(new / WEIGHTS, converted.weights)
        values = {"format": FORMAT, **converted.config}
        (new / "config.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        (new / "README.md").write_text(card, encoding="utf-8")
        check_output(output, force)
        replace_folder(new, output, beside / "old")
    except OSError as error:
        raise DiffvocError(f"{output} cannot be written: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def replace_folder(new: Path, output: Path, old: Path) -> None:
    """Rename ``new`` to ``output``; what is there goes to ``old``, and comes back if that fails."""
    if output.is_dir():
        os.replace(output, old)
    try:
        os.replace(new, output)
    except OSError:
        if old.is_dir():
            os.replace(old, output)
        raise
