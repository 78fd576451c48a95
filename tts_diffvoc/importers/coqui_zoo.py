"""WaveGrad checkpoints of Coqui TTS (``TTS.vocoder.models.wavegrad``) and of its model zoo.

Settings lie in a config.json beside the weights. Weight normalisation is multiplied out. Its noise level is added
to the features together with sinusoids of the position: ``level_encoding`` "added".
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from tts_diffvoc.diffusion.schedules import linear_schedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import AnyVocoder
from tts_diffvoc.importers import wavegrad
from tts_diffvoc.importers.reading import Checkpoint, PublisherSettings, count, renamed, vocoder_of
from tts_diffvoc.importers.wavegrad import DILATIONS, SHORT
from tts_diffvoc.mel import MelConfig
from tts_diffvoc.networks.waveglow import fold_weight_norm

TINIEST = 1e-8  # Coqui's floor of magnitudes before the logarithm
BLOCKS = range(16)
NAMES = [
    ("y_conv.", "downsample.0."),
    ("x_conv.", "first_conv."),
    ("out_conv.", "last_conv."),
    *((f"dblocks.{i}.res_block.", f"downsample.{i + 1}.residual_dense.") for i in BLOCKS),
    *((f"dblocks.{i}.main_block.", f"downsample.{i + 1}.conv.") for i in BLOCKS),
    ("ublocks.", "upsample."),
    (".res_block.", ".block1."),
    (".main_block.", ".block2."),
    (".out_block.", ".block3."),
]


def convert_wavegrad(checkpoint: Checkpoint, settings: PublisherSettings) -> tuple[AnyVocoder, list[str]]:
    """WaveGrad with the sizes, the audio settings and the training schedule of Coqui's config.json."""
    checkpoint = renamed(replace(checkpoint, weights=fold_weight_norm(checkpoint.weights)), NAMES)
    blocks = count(checkpoint, "upsample.{}.")
    factors = settings.need("model_params.upsample_factors", [1])
    dilations = settings.get("model_params.upsample_dilations", list(map(list, DILATIONS)))
    if not len(factors) == len(dilations) == blocks:
        raise DiffvocError(
            f"{settings.source} has {len(factors)} upsample_factors and {len(dilations)} upsample_dilations; "
            f"{checkpoint.path} has {blocks} blocks: give the config.json that belongs to it."
        )
    sizes = wavegrad.sizes_of(
        checkpoint, factors=tuple(factors), dilations=tuple(map(tuple, dilations)), level_encoding="added"
    )
    training = linear_schedule(
        settings.get("train_noise_schedule.min_val", 1e-6),
        settings.get("train_noise_schedule.max_val", 1e-2),
        settings.get("train_noise_schedule.num_steps", 1000),
    )
    config = wavegrad.config_of(sizes, training, mel_config(settings), settings)
    return vocoder_of(config, checkpoint), [SHORT]


def mel_config(settings: PublisherSettings) -> MelConfig:
    """The mel of Coqui's audio settings (``TTS.utils.audio.AudioProcessor``), its normalisation included."""
    get = settings.get
    rate = settings.need("audio.sample_rate", 1)
    win, hop = lengths(settings, rate)
    check_audio(settings)
    levels = level_settings(settings, get("audio.num_mels", 80))
    return MelConfig(
        sample_rate=rate,
        n_fft=get("audio.fft_size", 1024),
        win_length=win,
        hop_length=hop,
        n_mels=get("audio.num_mels", 80),
        fmin=get("audio.mel_fmin", 0.0),
        fmax=get("audio.mel_fmax", rate / 2),
        **levels,
    )


def lengths(settings: PublisherSettings, rate: int) -> tuple[int, int]:
    """Samples of the window and the hop; Coqui may give them in milliseconds."""
    window, shift = (settings.find(f"audio.{name}") for name in ("frame_length_ms", "frame_shift_ms"))
    if window is not None and shift is not None:
        window = settings.checked("audio.frame_length_ms", window, 1.0)
        shift = settings.checked("audio.frame_shift_ms", shift, 1.0)
        if not 0 < shift <= window:
            raise DiffvocError(f"{settings.source} says audio.frame_shift_ms: {shift}; it must be up to {window}.")
        win = int(window / 1000 * rate)
        return win, int(win / (window / shift))
    return settings.get("audio.win_length", 1024), settings.get("audio.hop_length", 256)


def check_audio(settings: PublisherSettings) -> None:
    """Refuse audio settings that no mel contract of ours expresses."""
    plain = {"preemphasis": 0.0, "stft_pad_mode": "reflect", "do_amp_to_db_mel": True}
    for name, value in plain.items():
        given = settings.get(f"audio.{name}", value)
        if given != value:
            raise DiffvocError(
                f"{settings.source} says audio.{name}: {given}; only mels with {name}: {value} can be imported."
            )


def level_settings(settings: PublisherSettings, n_mels: int) -> dict[str, Any]:
    """Logarithm, floor, ceiling, scale and shift that do what Coqui's ``amp_to_db`` and ``normalize`` do.

    A level is y = gain log(max(m, 1e-8)); normalised to [0, max_norm], or to [-max_norm, max_norm], of
    (y - ref_level_db - min_level_db) / -min_level_db, or to mean 0 and deviation 1 in each band.
    """
    get = settings.get
    log_func = get("audio.log_func", "np.log10")
    if log_func not in ("np.log", "np.log10"):
        raise DiffvocError(f"{settings.source} says audio.log_func: {log_func}; it must be np.log or np.log10.")
    base = math.e if log_func == "np.log" else 10.0
    gain = get("audio.spec_gain", 20.0)
    if gain <= 0:
        raise DiffvocError(f"{settings.source} says audio.spec_gain: {gain}; it must be above zero.")
    plain = {"log_base": "e" if log_func == "np.log" else "10", "floor": TINIEST}
    if not get("audio.signal_norm", True):
        return {**plain, "scale": gain}
    stats = settings.find("audio.stats_path")
    if stats:
        mean, deviation = statistics(settings, str(stats), n_mels)
        scale = tuple(gain / d for d in deviation)
        return {**plain, "scale": scale, "shift": tuple(-m / d for m, d in zip(mean, deviation))}
    lowest, reference = get("audio.min_level_db", -100.0), get("audio.ref_level_db", 20.0)
    symmetric, norm = get("audio.symmetric_norm", True), get("audio.max_norm", 4.0)
    if lowest >= 0 or norm <= 0:
        raise DiffvocError(
            f"{settings.source} says audio.min_level_db: {lowest} and max_norm: {norm}; "
            "the first must be below zero and the second above."
        )
    spread = (2 * norm if symmetric else norm) / -lowest
    values = {**plain, "scale": gain * spread, "shift": -(reference + lowest) * spread - (norm if symmetric else 0.0)}
    if get("audio.clip_norm", True):
        decades = [math.log10(base) * level / gain for level in (lowest + reference, reference)]
        bottom, top = (10.0 ** min(max(one, -300.0), 30.0) for one in decades)
        values.update(floor=max(TINIEST, bottom), ceiling=top)
    return values


def statistics(settings: PublisherSettings, stats_path: str, n_mels: int) -> tuple[list[float], list[float]]:
    """Mean and deviation of each band from an .npz file beside the configuration; Coqui's .npy is a pickle."""
    import numpy as np

    stem = Path(stats_path.replace("\\", "/")).stem
    path = settings.folder / f"{stem}.npz"
    if not path.is_file():
        raise DiffvocError(
            f"{settings.source} normalises mels with {stem}.npy, which holds a Python object that this program never "
            f"reads; if you trust that file, save its numbers beside the settings as {path.name} with `import numpy as "
            f"np; s = np.load({stem + '.npy'!r}, allow_pickle=True).item(); "
            f"np.savez({path.name!r}, mel_mean=s['mel_mean'], mel_std=s['mel_std'])`."
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            mean, deviation = (np.asarray(file[name], dtype=np.float64).ravel() for name in ("mel_mean", "mel_std"))
    except (OSError, ValueError, KeyError):
        raise DiffvocError(f"{path} has no plain arrays mel_mean and mel_std; save it again.") from None
    if not len(mean) == len(deviation) == n_mels or not np.isfinite(mean).all() or not (deviation > 0).all():
        raise DiffvocError(f"{path} must have {n_mels} finite means and as many deviations above zero; save it again.")
    return mean.tolist(), deviation.tolist()
