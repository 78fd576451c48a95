"""From a corpus to mels for the vocoder: a .npy for each clip, and mels.json with what made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from TTS.utils.audio.numpy_transforms import rms_volume_norm

from tts_diffvoc import __version__, voices
from tts_diffvoc.audio import read_audio, read_header, resample, resampled_length
from tts_diffvoc.checkpoint import read_config
from tts_diffvoc.coqui import support
from tts_diffvoc.coqui.gta.adapters import first_line, load_adapter, locate
from tts_diffvoc.coqui.gta.corpus import Clip, Utterance
from tts_diffvoc.coqui.gta.prosody import read_durations
from tts_diffvoc.coqui.synthesis import converter, split_spec
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import config_from_dict
from tts_diffvoc.files import make_folder, replacing, write_beside
from tts_diffvoc.jobs import bar
from tts_diffvoc.mel import compress, expand, log_mel

FORMAT = "tts-diffvoc-mels/1"
SAMPLE = 100  # clips that tell mean and deviation of pitch, where a model wants to know them


class Extractor:
    """Acoustic model and vocoder contract: clips in, mels as the vocoder will see them at synthesis out.

    Args:
        model: name, folder or weights of an acoustic model.
        vocoder: name or folder of a vocoder, with "?mel=approximate" where their spectrograms may differ.
        device: cpu, cuda or cuda:N.
        speaker: of a model of several, for clips whose own it does not know.
        durations: folder of .npy with the frames of each symbol, named as the clips; None for the model's own.

    Raises: DiffvocError when one of them is not there, or they do not fit each other.
    """

    def __init__(
        self,
        model: str,
        vocoder: str,
        device: str = "cpu",
        speaker: str | None = None,
        durations: Path | None = None,
    ) -> None:
        if durations is not None and not durations.is_dir():
            raise DiffvocError(f"there is no folder {durations}; --durations takes a folder of .npy files.")
        self.default_speaker, self.durations = speaker, durations
        plain, approximate = split_spec(vocoder)
        folder = voices.resolve(voices.parse(plain)[0])
        self.mel = config_from_dict(read_config(folder)).mel
        weights, config = locate(model)
        self.adapter = load_adapter(weights, config, device)
        self.acoustic = self.adapter.model
        self.processor = self.acoustic.ap
        kind = type(self.acoustic).__name__
        if durations is not None and not self.adapter.takes_durations:
            raise DiffvocError(f"the model {kind} finds durations by itself; leave --durations out.")
        self.convert = converter(self.processor, self.mel, approximate, folder.name)
        self.facts = {"format": FORMAT, "model": model, "vocoder": vocoder}
        # What two extractions must share for their mels to lie in one folder.
        self.identity = {
            "acoustic_model": {"class": kind, "sha256": hashlib.sha256(weights.read_bytes()).hexdigest()},
            "mel": self.mel.to_dict(),
            "conversion": "approximate" if approximate else "exact",
            "durations": "given by the user" if durations else self.adapter.timing,
        }

    def prepare(self, clip: Clip) -> Utterance:
        """A clip and its transcript made ready. Raises DiffvocError saying why it cannot be used."""
        if clip.problem:
            raise DiffvocError(clip.problem)
        if not clip.text.strip():
            raise DiffvocError("its transcript is empty; write what is said.")
        waveform, rate = read_audio(clip.path)
        symbols = self.symbols(clip.text)
        samples = _resampled(waveform, rate, self.processor.sample_rate, self.processor.fft_size)
        own = log_mel(_resampled(waveform, rate, self.mel.sample_rate, self.mel.n_fft)[None], self.mel)[0]
        whole_hops = self.frames(len(waveform), rate)
        if whole_hops < 1:
            raise DiffvocError("the clip is shorter than one frame; leave it out.")
        levelled, gain = self._level(samples.numpy())
        mel = torch.from_numpy(self.processor.melspectrogram(levelled)).T.contiguous()
        given = self.durations and read_durations(self.durations / f"{clip.name}.npy", len(symbols), len(mel))
        return Utterance(
            name=clip.name,
            symbols=symbols.to(self.adapter.device),
            mel=mel.to(self.adapter.device),
            samples=levelled,
            speaker=self.speaker(clip.speaker),
            durations=given,
            own=own[:, :whole_hops],
            gain=gain,
        )

    def frames(self, samples: int, rate: int) -> int:
        """Whole hops of the vocoder in a clip of so many samples: the length of its mel."""
        return resampled_length(samples, rate, self.mel.sample_rate) // self.mel.hop_length

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
        """Speaker number [1] and speaker vector [1, D] of a clip's speaker, None where the model has none."""
        manager = self.acoustic.speaker_manager
        if manager is None:
            return None, None
        name = name if name in manager.speaker_names else self.default_speaker
        try:
            return self.acoustic._get_speaker_id_or_dvector(name)
        except (KeyError, ValueError):
            known = ", ".join(list(manager.speaker_names)[:8])
            raise DiffvocError(f"the model has no speaker {name!r}; give --speaker, one of {known}.") from None

    def _level(self, samples: np.ndarray) -> tuple[np.ndarray, float]:
        """The recording at the level that the acoustic model is trained on, and by how much that is louder."""
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

    def is_done(self, clip: Clip, path: Path) -> bool:
        """Whether the mel of ``clip`` is in ``path``, whole and as long as the clip."""
        try:
            mel = np.load(path, mmap_mode="r", allow_pickle=False)
            sound = read_header(clip.path)
        except (OSError, ValueError, EOFError):
            return False
        return mel.dtype == np.float32 and mel.shape == (self.mel.n_mels, self.frames(sound.samples, sound.rate))


def _resampled(waveform: Tensor, rate: int, wanted: int, window: int) -> Tensor:
    samples = resample(waveform, rate, wanted)
    if len(samples) <= window // 2:
        raise DiffvocError(f"the clip has {len(samples)} samples and at least {window // 2 + 1} are needed.")
    return samples


@dataclass
class Outcome:
    """What a run came to.

    Attributes:
        there: how many mels were there before.
        skipped: clips that were left out, and why.
        differences: of each mel that was made, how far it is from the recording's own, in natural logarithms.
    """

    there: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)

    @property
    def made(self) -> int:
        return len(self.differences)

    @property
    def mean_difference(self) -> float | None:
        """Mean of the differences, None without any."""
        return sum(self.differences.values()) / self.made if self.made else None

    def facts(self) -> dict[str, Any]:
        """What mels.json says of the run; the clips of the largest difference are those to look at first."""
        mean = self.mean_difference
        largest = sorted(self.differences, key=lambda name: -self.differences[name])[:10]
        return {
            "clips": self.there + self.made,
            "log_mel_l1": {
                "clips": self.made,
                "mean": None if mean is None else round(mean, 4),
                "largest": {name: round(self.differences[name], 4) for name in largest},
            },
            "skipped": self.skipped,
        }


def extract_mels(
    extractor: Extractor, clips: Sequence[Clip], folder: Path, *, batch_size: int = 16, overwrite: bool = False
) -> Outcome:
    """Write the mel of each clip to ``folder``, and what made them to mels.json, with a bar on stderr.

    Clips whose mels are there already are passed over, so that a run which was stopped goes on.

    Args:
        extractor: acoustic model and vocoder contract.
        clips: names are unique.
        folder: made when it is not there.
        batch_size: clips at a time; changes speed, not results.
        overwrite: make mels again that are there.

    Raises: DiffvocError when ``folder`` holds mels of another origin or cannot be written. A clip that cannot be
        used is left out and told in the outcome.
    """
    identity = json.loads(json.dumps(extractor.identity))
    there = {} if overwrite else voices.read_json(folder / "mels.json").get("identity", identity)
    other = [name for name in identity if not overwrite and there.get(name) != identity[name]]
    if other:
        raise DiffvocError(
            f"{folder} holds mels made with another {' and '.join(other)}; give another folder, or --overwrite to "
            "make all of them again."
        )
    versions = {"tts-diffvoc": __version__, "coqui-tts": support.version(), "torch": torch.__version__}
    facts = {**extractor.facts, "identity": identity, "versions": versions}
    write_facts(folder, facts)
    if overwrite:
        for clip in clips:
            (folder / f"{clip.name}.npy").unlink(missing_ok=True)
    todo = [clip for clip in clips if not extractor.is_done(clip, folder / f"{clip.name}.npy")]
    outcome = Outcome(len(clips) - len(todo))

    def prepare(chosen: Iterable[Clip]) -> Iterator[Utterance]:
        for clip in chosen:
            try:
                yield extractor.prepare(clip)
            except DiffvocError as error:
                outcome.skipped[clip.name] = str(error)

    def extract(batch: Sequence[Clip]) -> None:
        ready = list(prepare(batch))
        try:
            made = extractor.extract(ready) if ready else []
        except DiffvocError as error:
            if len(batch) > 1:  # one of them cannot be led: the others can
                for clip in batch:
                    extract([clip])
                return
            outcome.skipped[batch[0].name], made = str(error), []
        for utterance, mel in zip(ready, made):
            if not mel.isfinite().all():
                outcome.skipped[utterance.name] = "the model made NaN or infinite values of it."
                continue
            path = folder / f"{utterance.name}.npy"
            make_folder(path.parent)
            with replacing(path) as beside, beside.open("wb") as file:
                np.save(file, mel.numpy())
            outcome.differences[utterance.name] = extractor.difference(mel, utterance.own)

    if todo:
        extractor.adapter.fit(prepare(clips[:: max(1, len(clips) // SAMPLE)][:SAMPLE]))
    todo.sort(key=lambda clip: len(clip.text))  # clips of like length together
    with bar([], "extracting", len(todo)) as progress:
        for start in range(0, len(todo), batch_size):
            batch = todo[start : start + batch_size]
            extract(batch)
            progress.update(len(batch))
    write_facts(folder, {**facts, **outcome.facts()})
    return outcome


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Write mels.json beside and rename."""
    make_folder(folder)
    write_beside(folder / "mels.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
