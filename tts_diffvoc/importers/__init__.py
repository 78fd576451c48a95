"""Published checkpoints of other packages, turned into checkpoint folders of ours. Torch is imported when it is used.

One module a publisher; each has functions ``(checkpoint, settings) -> (vocoder, notes for the model card)``. Nothing is
unpickled.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tts_diffvoc import __version__
from tts_diffvoc.errors import DiffvocError

if TYPE_CHECKING:
    from collections.abc import Collection

    from tts_diffvoc.importers.reading import Checkpoint, PublisherSettings


class Kind(NamedTuple):
    """A layout of checkpoints that can be imported, by ``function`` of the module ``module``.

    ``marks`` are beginnings of names that the weights of this kind, and of no other one, have.
    ``plain`` is what to keep of ``c``, the publisher's pickled dictionary, so that it can be read without unpickling.
    """

    module: str
    function: str
    about: str
    author: str
    marks: tuple[str, ...]
    plain: str = '{"model": c["model"]}'


WITH_PARAMS = '{"model": c["model"], "params": dict(c.get("params", {}))}'
# fmt: off
KINDS: dict[str, Kind] = {
    "lmnt-diffwave": Kind(
        "lmnt", "convert_diffwave", "DiffWave of the package diffwave", "LMNT",
        ("diffusion_embedding.projection1.", "residual_layers.0.dilated_conv."), WITH_PARAMS,
    ),
    "lmnt-wavegrad": Kind(
        "lmnt", "convert_wavegrad", "WaveGrad of the package wavegrad", "LMNT",
        ("downsample.0.", "upsample.0.block1."), WITH_PARAMS,
    ),
    "coqui-wavegrad": Kind(
        "coqui_zoo", "convert_wavegrad", "WaveGrad of Coqui TTS", "users of Coqui TTS",
        ("y_conv.", "dblocks.0.res_block.", "ublocks.0.main_block."),
    ),
    "ivanvovk-wavegrad": Kind(
        "ivanvovk", "convert_wavegrad", "WaveGrad of github.com/ivanvovk/WaveGrad", "Ivan Vovk",
        ("ublock_preconv.", "films.0.signal_conv."),
    ),
    "nvidia-waveglow": Kind(
        "nvidia", "convert_waveglow", "WaveGlow of NVIDIA", "NVIDIA", ("convinv.0.conv.", "WN.0.start."),
        '{"model": getattr(c["model"], "state_dict", lambda: c["model"])()}',
    ),
}
# fmt: on


def kind_of(names: Collection[str]) -> str | None:
    """The kind whose marks are all among the beginnings of ``names``, the names of weights; None for no kind."""
    for kind, facts in KINDS.items():
        if all(any(name.startswith(mark) for name in names) for mark in facts.marks):
            return kind
    return None


def import_checkpoint(
    path: str | Path,
    kind: str | None,
    output: str | Path,
    config: str | Path | None = None,
    force: bool = False,
) -> str:
    """Read the published checkpoint ``path`` and write a checkpoint folder of ours, ``output``.

    Args:
        path: what the publisher's program saved (read without unpickling), or safetensors with the same names.
        kind: one of :data:`KINDS`, or None to tell it from the names of the weights.
        output: the folder to write; it appears whole or not at all.
        config: JSON with the publisher's settings, where they are not in ``path`` or are to be others.
        force: replace a checkpoint folder that is there.

    Returns: the kind.
    Raises: DiffvocError for what cannot be read, is of another kind, misses weights or cannot be written.
    """
    import torch

    from tts_diffvoc.checkpoint import at_most, save_checkpoint
    from tts_diffvoc.files import replacing_folder
    from tts_diffvoc.importers import reading

    path, output = Path(path), Path(output)
    if kind is not None and kind not in KINDS:
        raise DiffvocError(f"the kind {kind!r} is unknown; choose one of {', '.join(KINDS)}.")
    check_output(output, force)
    checkpoint = reading.read(path, kind)
    found = kind_of(checkpoint.weights)
    if found is None:
        raise DiffvocError(
            f"{path} holds no weights that can be imported, but for example {next(iter(checkpoint.weights))}; give a "
            f"checkpoint of one of the kinds {', '.join(KINDS)}."
        )
    if kind is not None and kind != found:
        raise DiffvocError(f"{path} is no checkpoint of the kind {kind}; it looks like {found}: give --kind {found}.")
    settings = reading.read_settings(checkpoint, Path(config) if config else None)
    convert = getattr(import_module(f"{__name__}.{KINDS[found].module}"), KINDS[found].function)
    with at_most(checkpoint.weights, path):
        vocoder, notes = convert(checkpoint, settings)
    with replacing_folder(output) as beside:
        save_checkpoint(vocoder, beside, card(found, checkpoint, settings, notes, output.resolve().name), torch.float32)
    return found


def check_output(output: Path, force: bool) -> None:
    """Refuse a place that holds something, which ``force`` allows where it is but a checkpoint of ours."""
    from tts_diffvoc.checkpoint import FILES

    if output.exists() and not output.is_dir():
        raise DiffvocError(f"{output} is a file; give a folder to write to.")
    held = {path.name for path in output.iterdir()} if output.is_dir() else set()
    if held and not force:
        raise DiffvocError(f"the folder {output} is not empty; give another one, or --force to replace it.")
    if held - set(FILES):
        other = sorted(held - set(FILES))[0]
        raise DiffvocError(f"the folder {output} holds {other}, which is no part of a checkpoint; give another one.")


def card(kind: str, checkpoint: Checkpoint, settings: PublisherSettings, notes: list[str], name: str) -> str:
    """A short model card: where the weights come from, and what had to be assumed."""
    assumed = "\n".join(f"- `{key}`: {json.dumps(value)}" for key, value in settings.assumed.items())
    told = f"Assumed, because the file does not say:\n\n{assumed}" if assumed else "Nothing had to be assumed."
    return f"""---
license: that of the imported weights
author: {KINDS[kind].author}
---
{KINDS[kind].about}, imported from {checkpoint.path.name}.

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
