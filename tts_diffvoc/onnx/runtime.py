"""An exported vocoder run by ONNX Runtime; NumPy draws the noise. Imports no torch.

Letters in shapes: B batch, T samples, F frames (T = F * hop), M mel bands.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tts_diffvoc.arguments import MOST_STEPS, checked, whole
from tts_diffvoc.audio import scale_peaks
from tts_diffvoc.diffusion.noise import FrameNoise, cut_rows, row_seeds
from tts_diffvoc.errors import DiffvocError

FORMAT = "tts-diffvoc-onnx/1"
CONFIG = "config.json"
METADATA = "tts_diffvoc"  # the entry of a single file's metadata that holds what a folder has in CONFIG


class OnnxVocoder:
    """Mel to waveform by what ``tts-diffvoc export`` wrote.

    Attributes:
        settings: what the exporter wrote beside the graphs, plain values.

    Args:
        path: the folder, or the one file, that was exported.
        providers: of ONNX Runtime, best first.
        threads: that share one graph's work; 0 leaves the number to ONNX Runtime.

    Raises: DiffvocError for anything else, and where onnxruntime is not installed.
    """

    def __init__(
        self, path: str | Path, providers: Sequence[str] = ("CPUExecutionProvider",), threads: int = 0
    ) -> None:
        path = Path(path)
        self._open = _opener(providers, threads)
        if path.is_file():
            whole = self._open(path)
            self.settings = _parse(whole.get_modelmeta().custom_metadata_map.get(METADATA, ""), path)
            self._sessions = {"whole": whole}
        elif (path / CONFIG).is_file():
            self.settings = _parse((path / CONFIG).read_text(encoding="utf-8"), path)
            self._sessions = {name: self._open(path / f"{name}.onnx") for name in self.settings["graphs"]}
        else:
            raise DiffvocError(f"there is no exported vocoder {path}; write one with tts-diffvoc export.")

    @property
    def sample_rate(self) -> int:
        return self.settings["mel"]["sample_rate"]

    def generate(
        self,
        mel: np.ndarray,
        steps: int | None = None,
        seed: int | Sequence[int] | None = None,
        consistency: int | None = None,
        quality: str | None = None,
        lengths: Sequence[int] | np.ndarray | None = None,
    ) -> np.ndarray:
        """Synthesise ``mel`` [B, M, F] to a waveform [B, F * hop] in [-1, 1], float32.

        Options are those of the vocoder that was exported, with its defaults; what a graph has fixed cannot be chosen.
        A row whose peak is above 1 is scaled down to 1, with a warning. However long, a mel is made in one piece. With
        ``lengths``, frames of each row [B], a row is what it would be alone, and silent after its end.

        Raises: DiffvocError for a mel of another shape, with NaN or without frames, and for bad lengths and options.
        """
        one = self.settings["seed"] if seed is None else seed
        given: dict[str, Any] = {"steps": steps, "consistency": consistency, "quality": quality}
        if lengths is not None:
            rows = cut_rows(np.asarray(mel), lengths)
            made = [self.generate(r, seed=s, **given) for r, s in zip(rows, row_seeds(one, len(rows)))]
            samples = np.shape(mel)[-1] * self.settings["mel"]["hop_length"]
            return np.concatenate([np.pad(row, [(0, 0), (0, samples - row.shape[1])]) for row in made])
        mel = self._check(mel)
        noise = FrameNoise(row_seeds(one, len(mel)))
        options = {name: value for name, value in given.items() if value is not None}
        unknown = [name for name in options if name not in self.settings["options"]]
        if unknown:
            known = ", ".join(["seed", *self.settings["options"]])
            raise DiffvocError(f"{unknown[0]} was fixed when the vocoder was exported; what can be chosen is {known}.")
        if "whole" in self._sessions:
            (waveform,) = self._run("whole", mel=mel, noise=self._draw(noise, mel))
        elif "plans" in self.settings:
            waveform = self._walk(mel, noise, **options)
        else:
            waveform = self._restart(mel, noise, **options)
        return scale_peaks(waveform, self.settings["name"])

    def _walk(self, mel: np.ndarray, noise: FrameNoise, steps: int | None = None) -> np.ndarray:
        """From noise to data: each step keeps a share of x, takes one of the estimate and adds fresh noise."""
        plans, wanted = self.settings["plans"], str(self.settings["steps"] if steps is None else steps)
        if wanted not in plans:
            known = ", ".join(plans)
            raise DiffvocError(
                f"steps={wanted} was not exported; give one of {known}, or export VOCODER?steps={wanted}."
            )
        frames, hop = mel.shape[2], self.settings["mel"]["hop_length"]
        x = noise.array(0, 0, frames, hop).reshape(len(mel), -1)
        for step, (level, *shares) in enumerate(plans[wanted], 1):
            keep, take, renew = np.array(shares, np.float32)
            (x0,) = self._run("denoise", x=x, noise_level=np.full(len(mel), level), mel=mel)
            x = keep * x + take * x0
            if renew:
                x += renew * noise.array(step, 0, frames, hop).reshape(x.shape)
        return x

    def _restart(self, mel: np.ndarray, noise: FrameNoise, quality: str | None = None, **chosen: Any) -> np.ndarray:
        """From the prior to data, restarted at each step from the estimate of the last.

        Steps and consistency are those that were ``chosen``, else those of the quality.
        """
        qualities, quality = self.settings["qualities"], quality or self.settings["quality"]
        if quality not in qualities:
            raise DiffvocError(f"quality={quality} is unknown; choose one of {', '.join(qualities)}.")
        counts = {name: checked(name, value, whole(0, MOST_STEPS)) for name, value in chosen.items()}
        counts = {**qualities[quality], **counts}
        x0, z, magnitude, spectrum, hidden = self._run("prior", mel=mel, noise=self._draw(noise, mel))
        levels = self.settings["levels"]
        for step in range(counts["steps"]):
            level = np.full(len(mel), levels[min(step, len(levels) - 1)], np.float32)
            told = {"magnitude": magnitude, "spectrum": spectrum, "hidden": hidden}
            x0, z = self._run("denoise", z=z, noise_level=level, **told)
        state = x0
        for _ in range(counts["consistency"]):
            state, x0 = self._run("consistency", state=state, x0=x0, magnitude=magnitude, mel=mel)
        (waveform,) = self._run("decode", x0=x0, magnitude=magnitude)
        return waveform

    def _run(self, graph: str, **inputs: np.ndarray) -> list[np.ndarray]:
        return self._sessions[graph].run(None, inputs)

    def _draw(self, noise: FrameNoise, mel: np.ndarray) -> np.ndarray:
        """The noise that a graph takes [B, F, N]: the values a frame of each draw, one after the other."""
        draws = enumerate(self.settings["draws"])
        return np.concatenate([noise.array(draw, 0, mel.shape[2], values) for draw, values in draws], 2)

    def _check(self, mel: np.ndarray) -> np.ndarray:
        mel, bands = np.asarray(mel), self.settings["mel"]["n_mels"]
        mel = mel[None] if mel.ndim == 2 else mel
        if mel.ndim != 3 or mel.shape[1] != bands or not mel.shape[0] or not mel.shape[2]:
            raise DiffvocError(f"a mel of shape {list(mel.shape)} was given; this vocoder takes [B, {bands}, F].")
        if mel.dtype.kind not in "fiu":
            raise DiffvocError(f"a mel of {mel.dtype} was given; it must be of real numbers.")
        low, high = np.array(self.settings["limits"])[:, :, None]
        if not ((mel >= low) & (mel <= high)).all():  # NaN is neither
            raise DiffvocError(
                f"the mel reaches from {mel.min():.4g} to {mel.max():.4g}; that of audio lies between "
                f"{low.min():.3g} and {high.max():.3g}: check its scale."
            )
        return np.ascontiguousarray(mel, np.float32)


def _opener(providers: Sequence[str], threads: int) -> Any:
    """What opens a graph: a path to a session of ONNX Runtime."""
    try:
        import onnxruntime
    except ImportError:
        raise DiffvocError("an exported vocoder needs onnxruntime; install it with pip install onnxruntime.") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads

    def open_graph(path: Path) -> Any:
        try:
            return onnxruntime.InferenceSession(str(path), options, providers=list(providers))
        except Exception as error:  # ONNX Runtime's own have no common base
            said = str(error).splitlines()[0]
            raise DiffvocError(f"{path} cannot be opened as a graph ({said}); export the vocoder again.") from None

    return open_graph


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(text)
    except json.JSONDecodeError:
        settings = None
    if not isinstance(settings, dict) or settings.get("format") != FORMAT:
        raise DiffvocError(f"{path} was not written by this version of tts-diffvoc export; export the vocoder again.")
    return settings
