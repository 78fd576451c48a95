"""From a clip to a mel for the vocoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tts_diffvoc import voices
from tts_diffvoc.audio import read_audio, resample, resampled_length
from tts_diffvoc.checkpoint import read_config
from tts_diffvoc.coqui import mel_conversion
from tts_diffvoc.coqui.gta.durations import read_durations
from tts_diffvoc.coqui.gta.loading import first_line, load_adapter, locate
from tts_diffvoc.coqui.gta.utterance import Utterance
from tts_diffvoc.coqui.models import split_spec
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import config_from_dict
from tts_diffvoc.importers.reading import sha256
from tts_diffvoc.mel import compress, expand, log_mel


class Extractor:
    """Acoustic model and vocoder contract: clips in, mels as the vocoder will see them at synthesis out.

    Args:
        model: name, folder or weights of an acoustic model.
        vocoder: name or folder of a vocoder, with "?mel=approximate" where their spectrograms may differ.
        device: cpu, cuda or cuda:N.

    Raises: DiffvocError when one of them is not there, or the two do not fit.
    """

    def __init__(self, model: str, vocoder: str, device: str = "cpu") -> None:
        self.asked = {"model": model, "vocoder": vocoder}
        plain, self.approximate = split_spec(vocoder)
        folder = voices.resolve(voices.parse(plain)[0])
        self.vocoder, self.mel = folder.name, config_from_dict(read_config(folder)).mel
        self.weights, config = locate(model)
        self.adapter = load_adapter(self.weights, config, device)
        self.acoustic = self.adapter.model
        self.processor = self.acoustic.ap
        self.convert = mel_conversion.converter(self.processor, self.mel, self.approximate, self.vocoder)

    def identity(self) -> dict[str, Any]:
        """What two extractions must share for their mels to lie in one folder."""
        return {
            "acoustic_model": {"class": type(self.acoustic).__name__, "sha256": sha256(self.weights)},
            "mel": self.mel.to_dict(),
            "conversion": "approximate" if self.approximate else "exact",
        }

    def frames(self, samples: int, rate: int) -> int:
        """Whole hops of the vocoder in a clip of so many samples: the length of its mel."""
        return resampled_length(samples, rate, self.mel.sample_rate) // self.mel.hop_length

    def prepare(
        self, name: str, path: Path, text: str, speaker: str | None = None, durations: Path | None = None
    ) -> Utterance:
        """A clip and its transcript made ready. Raises DiffvocError saying why it cannot be used."""
        if not text.strip():
            raise DiffvocError("its transcript is empty; write what is said.")
        waveform, rate = read_audio(path)
        symbols = self.symbols(text)
        samples = self._at(waveform, rate, self.processor.sample_rate, self.processor.fft_size)
        own = log_mel(self._at(waveform, rate, self.mel.sample_rate, self.mel.n_fft)[None], self.mel)[0]
        whole_hops = self.frames(len(waveform), rate)
        if whole_hops < 1:
            raise DiffvocError("the clip is shorter than one frame; leave it out.")
        levelled, gain = self._level(samples.numpy())
        mel = torch.from_numpy(self.processor.melspectrogram(levelled)).T.contiguous()
        return Utterance(
            name=name,
            symbols=symbols.to(self.adapter.device),
            mel=mel.to(self.adapter.device),
            samples=levelled,
            speaker=self.speaker(speaker),
            durations=None if durations is None else read_durations(durations, len(symbols), len(mel)),
            own=own[:, :whole_hops],
            gain=gain,
        )

    def symbols(self, text: str) -> Tensor:
        """Numbers [T] of the symbols of a transcript, as the model is trained on them."""
        languages = getattr(self.acoustic.language_manager, "language_names", [])
        language = languages[0] if len(languages) == 1 else None
        try:
            numbers = self.acoustic.tokenizer.text_to_ids(text, language=language)
        except DiffvocError:
            raise
        except Exception as error:  # a phonemizer's own
            raise DiffvocError(f"its transcript cannot be read by the model ({first_line(error)}).") from None
        if not numbers:
            raise DiffvocError("its transcript has no character that the model knows; check its language.")
        return torch.as_tensor(numbers, dtype=torch.long)

    def speaker(self, name: str | None) -> tuple[Tensor | None, Tensor | None]:
        """Speaker number [1] and speaker vector [1, D] of one of the model's speakers, None where it has none."""
        manager = self.acoustic.speaker_manager
        if manager is None:
            return None, None
        try:
            return self.acoustic._get_speaker_id_or_dvector(name)
        except (KeyError, ValueError):
            known = ", ".join(list(manager.speaker_names)[:8])
            raise DiffvocError(f"the model has no speaker {name!r}; give --speaker, one of {known}.") from None

    @staticmethod
    def _at(waveform: Tensor, rate: int, wanted: int, window: int) -> Tensor:
        samples = resample(waveform, rate, wanted)
        if len(samples) <= window // 2:
            raise DiffvocError(f"the clip has {len(samples)} samples and at least {window // 2 + 1} are needed.")
        return samples

    def _level(self, samples: np.ndarray) -> tuple[np.ndarray, float]:
        """The recording at the level that the acoustic model is trained on, and by how much that is louder."""
        from TTS.utils.audio.numpy_transforms import rms_volume_norm

        levelled, ap = samples, self.processor
        if ap.do_sound_norm:
            levelled = ap.sound_norm(levelled)
        if ap.do_rms_norm:
            levelled = rms_volume_norm(x=levelled, db_level=ap.db_level)
        before, after = (float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) for x in (samples, levelled))
        if not np.isfinite(levelled).all() or before == 0:
            raise DiffvocError("the clip is silent from beginning to end; leave it out.")
        return levelled.astype(np.float32), after / before

    @torch.no_grad()
    def extract(self, utterances: list[Utterance]) -> list[Tensor]:
        """For each utterance the mel [M, F'] that the vocoder gets at synthesis, as long as the clip's own."""
        try:
            outputs = self.adapter.run(utterances)
        except torch.cuda.OutOfMemoryError:
            raise DiffvocError("the device has too little memory for it; lower --batch-size.") from None
        return [self._fit(output, u) for output, u in zip(outputs, utterances)]

    def _fit(self, output: Tensor, utterance: Utterance) -> Tensor:
        mel = self.convert(output)[0]
        if utterance.gain != 1.0:  # back to the recording's level
            mel = compress(expand(mel, self.mel) / utterance.gain**self.mel.power, self.mel)
        missing = utterance.own.shape[1] - mel.shape[1]
        if missing > 0:
            mel = torch.cat([mel, mel[:, -1:].expand(-1, missing)], dim=1)
        return mel[:, : utterance.own.shape[1]].contiguous()

    def difference(self, mel: Tensor, own: Tensor) -> float:
        """Mean absolute difference of two mels of the vocoder's contract, in natural logarithms."""
        one, other = (expand(m, self.mel).clamp_min(1e-12).log() for m in (mel, own))
        return float((one - other).abs().mean())
