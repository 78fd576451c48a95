"""Checkpoint folders of vocoders and generators: ``config.json``, ``model.safetensors`` and a card, ``README.md``.

Nothing is unpickled: weights are safetensors, the configuration is plain JSON.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn
from torch.overrides import TorchFunctionMode

from tts_diffvoc import generators, hub, voices
from tts_diffvoc.base import AudioModel, check_device
from tts_diffvoc.capture import Captures
from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.errors import DiffvocError, shown
from tts_diffvoc.factory import AnyVocoder, build, config_from_dict
from tts_diffvoc.files import check_readable, make_folder, reason, replacing, replacing_folder, write_beside
from tts_diffvoc.generator import Generator
from tts_diffvoc.naming import WEIGHTS, card_text, read_text

VERSION = 1  # of the entries of config.json; a folder from before they were counted has none
FORMAT = "tts-diffvoc/1"
GENERATOR_FORMAT = "tts-diffvoc-generator/1"
# What a folder of each format holds, for messages.
HOLDS = {FORMAT: "a tts-diffvoc checkpoint", GENERATOR_FORMAT: "the checkpoint of a tts-diffvoc generator"}
# Ends the name of an int8 weight's scales, one a row.
ROW_SCALE = ".row_scale"
FILES = ("config.json", WEIGHTS, "README.md")
DTYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def read_config(folder: Path, kind: str = FORMAT) -> dict[str, Any]:
    """The ``config.json`` of a checkpoint folder without its format, checked to be ``kind``, one of ours."""
    path = folder / "config.json"
    if not folder.is_dir():
        raise DiffvocError(f"there is no checkpoint folder {folder}; give a folder with config.json and {WEIGHTS}.")
    if not path.is_file():
        raise DiffvocError(f"{folder} has no config.json; a checkpoint folder holds config.json and {WEIGHTS}.")
    text = read_text(path)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise DiffvocError(f"{path} is not valid JSON; copy or download the checkpoint again.") from None
    found = str(values.pop("format", None)) if isinstance(values, dict) else ""
    if found != kind:
        advice = "give a folder that this package wrote"
        if found in HOLDS:
            advice = f"it is {HOLDS[found]}"
        elif any(folder.glob("*.pth*")):
            advice = "of a Coqui model, import the .pth file with tts-diffvoc import"
        raise DiffvocError(f'{path} is not {HOLDS[kind]}: it lacks "format": "{kind}"; {advice}.')
    version = values.pop("version", VERSION)
    if kind == GENERATOR_FORMAT:
        values["kind"] = "generator"
    if version != VERSION:
        raise DiffvocError(f"{path} is of version {shown(version)} and this tts-diffvoc reads {VERSION}; update it.")
    return values


def load_checkpoint(folder: str | Path, device: str | torch.device = "cpu") -> AnyVocoder:
    """The vocoder in ``folder``, in evaluation mode, float32, on ``device``.

    Raises: DiffvocError for a folder that is missing, truncated or not a tts-diffvoc checkpoint.
    """
    return _load(Path(folder), device, FORMAT)


def _load(folder: Path, device: str | torch.device, kind: str) -> Any:
    """The model in ``folder``, whose format is ``kind``."""
    device = check_device(device)
    values, weights = read_config(folder, kind), read_weights(folder)
    with at_most(weights, folder / WEIGHTS):
        model = build(config_from_dict(values), folder.name)
    load_weights(model, weights, folder / WEIGHTS)
    model.card = card_text(folder)
    return model.to(device).eval()


class at_most(TorchFunctionMode):
    """While on, no more parameters can be made than would suit ``weights``, lest a configuration fill the memory.

    Raises: DiffvocError for more; ``source`` is the file of the weights.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], source: Path) -> None:
        super().__init__()
        self.left = max(1 << 24, 4 * sum(value.numel() for value in weights.values()))
        self.source = source

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.empty:
            self.left -= math.prod(args[0] if isinstance(args[0], Sequence) else args)
        if self.left < 0:
            raise DiffvocError(f"{self.source} does not belong to its config.json, which describes a larger network.")
        return func(*args, **(kwargs or {}))


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint folder, or of a file, float32.

    Raises: DiffvocError when they are missing, truncated, of whole numbers or not finite.
    """
    path = folder / WEIGHTS if folder.is_dir() else folder
    if not path.is_file():
        raise DiffvocError(f"{folder} has no {WEIGHTS}; copy or download the checkpoint again.")
    weights = dequantize(read_safetensors(path))
    for name, value in weights.items():
        if not value.is_floating_point():
            raise DiffvocError(f"{path} holds {value.dtype} in {name}, which is no weight; download it again.")
    return check_finite({name: value.float() for name, value in weights.items()}, f"{path} holds")


def quantize(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of half the size: matrices and kernels as int8 with a scale a row, the rest as float16.

    A row of n weights loses about 42 dB below its own level, which averages out over the n products of a sum.
    """
    out = {}
    for name, value in weights.items():
        rows = value.detach().float().cpu().flatten(1) if value.dim() > 1 else None
        if rows is None or rows.shape[1] < 16:
            out[name] = value.detach().half().cpu().contiguous()
            continue
        scale = (rows.abs().amax(1, keepdim=True) / 127).clamp_min(1e-12)
        out[name] = (rows / scale).round().to(torch.int8).view_as(value)
        out[name + ROW_SCALE] = scale.flatten()
    return out


def dequantize(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The inverse of :func:`quantize`; weights that have no scales are left as they are."""
    scales = {name.removesuffix(ROW_SCALE): value for name, value in weights.items() if name.endswith(ROW_SCALE)}
    out = {name: value for name, value in weights.items() if not name.endswith(ROW_SCALE)}
    for name, scale in scales.items():
        value = out.get(name)
        if value is not None and value.dtype == torch.int8 and value.shape[:1] == scale.shape:
            out[name] = value.float() * scale.float().view(-1, *[1] * (value.dim() - 1))
    return out


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors in a file, as they are; DiffvocError when it cannot be read."""
    check_readable(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, MemoryError) as error:
        raise DiffvocError(f"{path} cannot be read ({reason(error)}); copy or download it again.") from None


def check_finite(weights: dict[str, torch.Tensor], says: str) -> dict[str, torch.Tensor]:
    """The weights themselves; DiffvocError for NaN or infinity among them, which begins with ``says``."""
    for name, value in weights.items():
        if not bool(torch.isfinite(value).all()):
            raise DiffvocError(f"{says} NaN or infinite values in {name}; go back to weights from before.")
    return weights


def load_weights(
    model: nn.Module, weights: Mapping[str, torch.Tensor], source: Path, settings: str = "config.json"
) -> None:
    """Put ``weights`` of the file ``source`` into ``model``; every name and shape must be as ``settings`` say."""
    own = model.state_dict()
    missing, extra = sorted(set(own) - set(weights)), sorted(set(weights) - set(own))
    wrong = [k for k in own.keys() & weights.keys() if own[k].shape != weights[k].shape]
    if missing or extra or wrong:
        example = (missing or extra or wrong)[0]
        raise DiffvocError(
            f"{source} does not belong to its {settings}: {len(missing)} weights missing, {len(extra)} unknown, "
            f"{len(wrong)} of another shape, for example {example}."
        )
    model.load_state_dict(weights)


def save_checkpoint(model: AudioModel, folder: str | Path, card: str, dtype: torch.dtype = torch.float16) -> None:
    """Write a vocoder or generator and its model card to ``folder``; each file is written beside and renamed.

    Raises: DiffvocError when the folder cannot be written.
    """
    folder = Path(folder)
    make_folder(folder)
    weights = {k: v.detach().cpu().to(dtype).contiguous() for k, v in model.state_dict().items()}
    write_weights(folder / WEIGHTS, check_finite(weights, f"{model.name} has, as {dtype},"))
    kind = GENERATOR_FORMAT if isinstance(model, Generator) else FORMAT
    values = {"format": kind, "version": VERSION, **model.config.to_dict()}
    write_beside(folder / "config.json", json.dumps(values, indent=1) + "\n")
    write_beside(folder / "README.md", card)


def write_weights(path: Path, weights: dict[str, torch.Tensor]) -> None:
    """Write safetensors with the mode of any new file: safetensors' own writer lets nobody but its owner read them."""
    with replacing(path) as beside:
        beside.write_bytes(to_bytes(weights))


def copy_checkpoint(folder: Path, target: Path) -> None:
    """Copy a checkpoint's own files to a new folder, which appears whole or not at all."""
    with replacing_folder(target) as beside:
        beside.mkdir()
        for name in FILES:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, beside / name)


def save_schedules(folder: str | Path, schedules: dict[int, NoiseSchedule]) -> None:
    """Put ``schedules`` into the ``config.json`` of a checkpoint; the weights and all other entries stay.

    Raises: DiffvocError when it cannot be written.
    """
    if not schedules:
        return
    folder = Path(folder)
    values = {"format": FORMAT, "version": VERSION, **read_config(folder)}
    inference = {**values.get("inference", {}), **{str(n): list(s.betas) for n, s in schedules.items()}}
    values["inference"] = dict(sorted(inference.items(), key=lambda item: int(item[0])))
    write_beside(folder / "config.json", json.dumps(values, indent=1) + "\n")


def load_vocoder(
    spec: str | Path,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
    cuda_graphs: bool = False,
    **download: Any,
) -> AnyVocoder:
    """A vocoder by name, folder or repository of the Hub: "diffwave?steps=50&seed=1", "runs/mine", "org/name".

    Options after the question mark become the vocoder's defaults; ``download`` is for :func:`tts_diffvoc.hub.download`.
    A bundled name, and one whose first part is a folder here, never asks the network. With ``dtype`` "bfloat16" or
    "float16" the denoising network computes in it, by autocast; weights, and what is before and after it, stay float32.
    The bundled vocoders lose less than 0.02 PESQ by bfloat16; a WaveGrad's activations can be too large for float16.
    ``cuda_graphs`` captures the synthesis as CUDA graphs, one for each batch, options and length, which is padded to
    whole multiples of ``capture.BUCKET`` frames by silence.

    Raises: DiffvocError for an unknown name (with the closest ones), a bad option or a bad checkpoint, and for CUDA
        graphs on another device.
    """
    if cuda_graphs and check_device(device).type != "cuda":
        raise DiffvocError(f'CUDA graphs were asked for on {device}; give device="cuda".')
    kind = str(dtype).removeprefix("torch.")
    if kind not in DTYPES:
        raise DiffvocError(f"dtype={shown(dtype)} is unknown; choose one of {', '.join(DTYPES)}.")
    name, options = voices.parse(str(spec))
    remote = hub.is_repository(name)
    vocoder = load_checkpoint(hub.download(name, **download) if remote else voices.resolve(name), device)
    vocoder.name = name if remote else vocoder.name
    vocoder.autocast = DTYPES[kind]
    vocoder.captures = Captures() if cuda_graphs else None
    vocoder.defaults.update(parse_options(vocoder, options))
    return vocoder


def load_generator(spec: str | Path, device: str | torch.device = "cpu") -> Generator:
    """A generator by name or folder, for example "digits" or "runs/mine?steps=20&seed=1"; float32, evaluation mode.

    Options after the question mark become the generator's defaults.

    Raises: DiffvocError for an unknown name (with the closest ones), a bad option or a bad checkpoint.
    """
    name, options = generators.parse(str(spec))
    generator: Generator = _load(generators.resolve(name), device, GENERATOR_FORMAT)
    generator.defaults.update(parse_options(generator, options))
    return generator


def parse_options(model: AudioModel, options: dict[str, str]) -> dict[str, Any]:
    """Options of ``generate`` from text, checked against this vocoder or generator."""
    values = {name: model.parse_option(name, text) for name, text in options.items()}
    model.check_options(values)
    return values
