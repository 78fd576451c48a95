"""Vocoders that Coqui's own program trained: from its zoo, by name, or from a folder of a run."""

from __future__ import annotations

import pickle
import tempfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from TTS.config import load_config
from TTS.utils.manage import ModelManager
from TTS.vocoder.models import setup_generator, setup_model

from tts_diffvoc.coqui import zoo
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.importers.coqui_zoo import mel_config
from tts_diffvoc.importers.reading import PublisherSettings, read, read_json
from tts_diffvoc.mel import MelConfig
from tts_diffvoc_eval.baselines.networks import as_system
from tts_diffvoc_eval.mels import differences
from tts_diffvoc_eval.systems import System, safe

RANDOM = ("parallel_wavegan_generator", "univnet_generator", "wavernn")
PREFIX = "vocoder_models/"


def load(spec: str | Path, device: str | torch.device = "cpu") -> System:
    """A GAN or WaveRNN of Coqui's, behind the benchmark's mel.

    Weights are read as tensors and plain values only, and the bands' statistics (``scale_stats.npy``) as plain arrays.

    Args:
        spec: a name of the zoo, ``vocoder_models/en/ljspeech/hifigan_v2``, which is downloaded once into Coqui's own
            folder; or a checkpoint (.pth) beside its config.json, or a folder with both.

    Raises: DiffvocError for what is not there, cannot be read, or takes no mel; Failure without a network.
    """
    spec = str(spec)
    from_name = spec.startswith(PREFIX) and not Path(spec).exists()
    if from_name:
        weights, config_path = map(Path, zoo.fetch(ModelManager(progress_bar=False), spec, ("vocoder_models",))[:2])
    elif not Path(spec).expanduser().exists():
        raise DiffvocError(f"there is no {spec}; give a folder of Coqui's, or a checkpoint beside its config.json.")
    else:
        weights, config_path = zoo.find_trained(Path(spec).expanduser())
    values = _settings(config_path)
    mel = _mel(config_path, values)
    kind, network = _network(config_path, values)
    _fill(network, weights)
    different = differences(mel)
    short = "/".join(spec.split("/")[-2:]) if from_name else config_path.parent.resolve().name
    return as_system(
        network,
        mel,
        device,
        name=safe(spec.removeprefix(PREFIX) if from_name else short),
        label=f"Coqui {short}",
        family="autoregressive" if kind == "wavernn" else "gan",
        deterministic=kind not in RANDOM,
        training="published by Coqui" if from_name else "by Coqui's program",
        note=f"its mel was approximated: {'; '.join(different)}" if different else None,
    )


def _settings(config: Path) -> dict[str, Any]:
    """Coqui's settings; DiffvocError for a model that is no GAN and no WaveRNN."""
    values = read_json(config)
    model = values.get("model") or values.get("generator_model") or "nothing"
    if model == "wavegrad":
        raise DiffvocError(f"{config} is of a WaveGrad; import it with `tts-diffvoc import`, and name the new folder.")
    if "generator_model" not in values and model != "wavernn":
        raise DiffvocError(f"{config} is of the model {model}; this takes Coqui's GAN vocoders and WaveRNN.")
    if (values.get("generator_model_params") or {}).get("pre_linear"):
        raise DiffvocError(f"{config} is of a vocoder that takes other features than mels; choose another.")
    return values


def _network(config: Path, values: dict[str, Any]) -> tuple[str, nn.Module]:
    """What sort of network Coqui's settings describe, and the network with random weights."""
    try:
        settings = load_config(config)
        if values.get("generator_model"):
            return str(values["generator_model"]).lower(), setup_generator(settings)
        return "wavernn", setup_model(settings)
    except Exception as error:  # whatever Coqui's readers raise for settings of another version
        raise DiffvocError(f"Coqui cannot build a vocoder from {config} ({error}).") from None


def _fill(network: nn.Module, path: Path) -> None:
    """Read the generator's weights out of a checkpoint of it alone, or of the whole GAN."""
    weights = read(path, None).weights
    of_generator = {name.removeprefix("model_g."): value for name, value in weights.items() if name[:8] == "model_g."}
    try:
        network.load_state_dict(of_generator or weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise DiffvocError(f"{path} does not belong to the config.json beside it: {reason}") from None


def _mel(config: Path, values: dict[str, Any]) -> MelConfig:
    """The mel of Coqui's audio settings."""
    settings = PublisherSettings(str(config), values, config.parent)
    given = settings.find("audio.stats_path") if settings.find("audio.signal_norm") is not False else None
    stem = Path(str(given).replace("\\", "/")).stem
    if not given or (config.parent / f"{stem}.npz").is_file():
        return mel_config(settings)
    places = (config.parent / f"{stem}.npy", Path(str(given)).expanduser())
    stats = next((place for place in places if place.is_file()), None)
    if stats is None:
        raise DiffvocError(f"{config} normalises mels with {stem}.npy, which is not there; put it beside config.json.")
    with tempfile.TemporaryDirectory() as folder:
        found = read_statistics(stats)
        np.savez(Path(folder) / f"{stem}.npz", mel_mean=found["mel_mean"], mel_std=found["mel_std"])
        return mel_config(replace(settings, folder=Path(folder)))


class _ArraysOnly(pickle.Unpickler):
    """Reads arrays, numbers and plain containers, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        numpy = module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
        if numpy and name in ("ndarray", "dtype", "_reconstruct", "scalar"):
            return super().find_class(module, name)
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise pickle.UnpicklingError(f"it holds {module}.{name}")


def read_statistics(path: Path) -> dict[str, np.ndarray]:
    """``mel_mean`` and ``mel_std`` of Coqui's scale_stats.npy, a pickled dictionary, read without running its code."""
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            content = np.asarray(_ArraysOnly(file).load(), dtype=object).item()
        return {name: np.asarray(content[name], dtype=np.float64) for name in ("mel_mean", "mel_std")}
    except (pickle.UnpicklingError, ValueError, KeyError, TypeError, EOFError, OSError) as error:
        raise DiffvocError(f"{path} cannot be read as mean and deviation of mel bands ({error}).") from None
