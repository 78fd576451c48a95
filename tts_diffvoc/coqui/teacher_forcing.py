"""Mels that an acoustic model of Coqui makes while it is led along a recording (ground-truth-aligned mels).

What it makes of a text alone has timing of its own, so it cannot be paired with a recording. Led by the
recording's mel (attention models) or by its durations and pitch (duration models) it keeps the recording's
timing and still errs as it does at synthesis, which is what a vocoder has to learn (Shen et al. 2018, section
3.2). T counts symbols, F frames, C channels of a spectrogram.

Results never depend on what else is in a batch: everything that looks beyond its own frame runs on one
utterance at its own length, and only the recurrent decoders of the attention models, which are slow, run on
several at a time.
"""

from __future__ import annotations

import hashlib
import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from TTS.config import load_config
from TTS.tts.layers.tacotron.attentions import GravesAttention, OriginalAttention
from TTS.tts.models.align_tts import AlignTTS
from TTS.tts.models.base_tacotron import BaseTacotron
from TTS.tts.models.forward_tts import ForwardTTS
from TTS.tts.models.glow_tts import GlowTTS
from TTS.tts.models.tacotron import Tacotron
from TTS.utils.generic_utils import find_module

from tts_diffvoc import voices
from tts_diffvoc.audio import resample
from tts_diffvoc.checkpoint import read_config
from tts_diffvoc.coqui import mel_conversion
from tts_diffvoc.coqui.acoustic import DiffvocForwardTTS
from tts_diffvoc.coqui.models import split_spec
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import compress, expand, log_mel
from tts_diffvoc.vocoder import VocoderConfig

# Names that Coqui and its users give to the weights of a trained model, the first that is there counts.
WEIGHTS = ("model.safetensors", "best_model.pth", "model_file.pth", "model.pth", "best_model.pth.tar")


@dataclass
class Utterance:
    """A clip and its transcript as the acoustic model takes them.

    Attributes:
        name: the clip's name, which seeds what is random about it.
        symbols: [T], whole numbers.
        mel: the recording's own mel [F, C], in the acoustic model's levels.
        samples: the recording [N] at the acoustic model's sample rate.
        speaker: speaker number [1] and speaker vector [1, D], either may be None.
        durations: frames of each symbol [T] where the user gave them, summing to F.
        own: the recording's mel [M, F'] in the vocoder's contract, F' frames being whole hops.
        gain: by how much the acoustic model's settings amplify a recording.
    """

    name: str
    symbols: Tensor
    mel: Tensor
    samples: np.ndarray
    speaker: tuple[Tensor | None, Tensor | None]
    durations: Tensor | None
    own: Tensor
    gain: float

    def conditioning(self) -> dict[str, Tensor | None]:
        """The speaker under the names that Coqui's models read."""
        return {"speaker_ids": self.speaker[0], "d_vectors": self.speaker[1]}

    def lengths(self) -> tuple[Tensor, Tensor]:
        """T and F as tensors [1]."""
        counts = len(self.symbols), len(self.mel)
        return tuple(torch.tensor([n], device=self.symbols.device) for n in counts)  # type: ignore[return-value]


# Loading


def locate(spec: str) -> tuple[Path, Path]:
    """Weights and configuration of an acoustic model: a name, a folder, or a file beside its config.json.

    Raises: DiffvocError when there is no such model.
    """
    path = Path(spec).expanduser()
    if voices.bundled_acoustic(spec) is None and spec.startswith("tts_models/"):
        return _download(spec)
    folder = voices.bundled_acoustic(spec) or (path if path.is_dir() else path.parent)
    if voices.bundled_acoustic(spec) is None and not path.exists():
        known = [voices.full_name(name) for name in voices.ACOUSTIC]
        raise voices.unknown(spec, known, "acoustic model, folder or file")
    weights = path if path.is_file() and path.suffix != ".json" else _weights(folder)
    if not (folder / "config.json").is_file():
        raise DiffvocError(f"{folder} holds no config.json; put the acoustic model's configuration beside its weights.")
    return weights, folder / "config.json"


def _weights(folder: Path) -> Path:
    checkpoints = [p for p in folder.glob("checkpoint_*.pth") if p.stem.removeprefix("checkpoint_").isdecimal()]
    newest = sorted(checkpoints, key=lambda p: int(p.stem.removeprefix("checkpoint_")))[-1:]
    for path in [*(folder / name for name in WEIGHTS), *newest]:
        if path.is_file():
            return path
    raise DiffvocError(f"{folder} holds none of {', '.join(WEIGHTS)}; give the path of the acoustic model's weights.")


def _download(name: str) -> tuple[Path, Path]:
    from requests import RequestException
    from TTS.utils.manage import ModelManager

    from tts_diffvoc.coqui import zoo

    manager = ModelManager()
    known = zoo.listed(manager.models_dict, "tts_models")
    if name not in known:
        raise voices.unknown(name, known, "acoustic model")
    logging.getLogger("TTS.utils.manage").setLevel(logging.CRITICAL)  # it prints a traceback of what is said below
    try:
        weights, config, _ = manager.download_model(name)
    except (RequestException, OSError) as error:
        raise DiffvocError(
            f"the acoustic model {name} cannot be downloaded ({type(error).__name__}); check the network, or give a "
            "folder with its weights and config.json."
        ) from None
    if weights is None or config is None or not Path(weights).is_file():
        raise DiffvocError(f"{name} predicts no mel spectrogram; choose a Tacotron, FastPitch or GlowTTS model.")
    return Path(weights), Path(config)


def load_forcer(weights: Path, config_path: Path, device: str = "cpu") -> Forcer:
    """The acoustic model, ready to be led. Weights are read as tensors and plain values only.

    Raises: DiffvocError for a model that cannot be led along a recording, or weights that are not its own.
    """
    try:
        config = load_config(config_path)
        kind = find_module("TTS.tts.models", (getattr(config, "base_model", None) or config.model).lower())
    except DiffvocError:
        raise
    except Exception as error:  # whatever a foreign file makes Coqui raise
        raise DiffvocError(
            f"{config_path} is no configuration of a Coqui acoustic model ({_first_line(error)}); give the one that "
            "its training wrote."
        ) from None
    forcer = forcer_of(kind)
    try:
        model = kind(config)
    except Exception as error:
        raise DiffvocError(
            f"the {kind.__name__} of {config_path} cannot be set up ({_first_line(error)}); check that what its "
            "configuration names (speakers, statistics, phonemizer) is there."
        ) from None
    _load_weights(model, weights)
    model.eval().requires_grad_(False)
    if isinstance(model, GlowTTS):
        model.store_inverse()
    return forcer(model.to(device))


def _load_weights(model: Any, path: Path) -> None:
    if isinstance(model, DiffvocForwardTTS):
        model.load_checkpoint(model.config, path, eval=True)
        return
    state = _read_state(path)
    try:
        model.load_state_dict(state["model"])
    except (KeyError, IndexError, RuntimeError, AttributeError, TypeError) as error:
        raise DiffvocError(
            f"{path} does not hold the weights of the {type(model).__name__} that its config.json describes "
            f"({_first_line(error)}); give the two that belong together."
        ) from None
    if isinstance(model, BaseTacotron):
        # As Coqui: gradual training may have ended at another number of frames a step than it began with.
        trained = state.get("config")
        model.decoder.set_r(state.get("r") or (trained["r"] if isinstance(trained, dict) else model.config.r))


def _read_state(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return {"model": load_file(path)}
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle and zip each have their own
        raise DiffvocError(
            f"{path} cannot be read as weights ({type(error).__name__}: {_first_line(error)}); give a checkpoint "
            "that holds tensors and plain values only, since nothing else is unpickled."
        ) from None


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (" ".join(lines[:2]) or type(error).__name__)[:160].rstrip(".:")


# Forcing, by kind of model


class Forcer:
    """An acoustic model that is led along recordings.

    Attributes:
        model: Coqui's model, in evaluation mode.
        timing: where the durations come from, in words.
    """

    timing = ""
    takes_durations = False

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def survey(self, utterances: list[Utterance]) -> None:
        """Learn what it must know about the corpus as a whole; `utterances` are a fair sample of it."""

    def wants_survey(self) -> bool:
        """Whether :meth:`survey` would learn anything."""
        return False

    def force(self, utterances: list[Utterance]) -> list[Tensor]:
        """The model's output [F', C] for each utterance, in its own levels; F' is F to within its step."""
        with torch.no_grad():
            return [self.one(utterance) for utterance in utterances]

    def one(self, utterance: Utterance) -> Tensor:
        """The output [F', C] for one utterance."""
        raise NotImplementedError


class AttentionForcer(Forcer):
    """Tacotron and Tacotron 2: each step of the decoder sees the recording's frames before it.

    The encoder and the post-net run on one utterance, the decoder on several at a time where its attention
    masks what lies behind a text's end before it normalises, and nothing in it is random.
    """

    timing = "attention"

    def batches_well(self) -> bool:
        """Whether a padded batch gives the decoder's outputs of single utterances."""
        attention, prenet = self.model.decoder.attention, self.model.decoder.prenet
        if (prenet.prenet_dropout and prenet.dropout_at_inference) or self.model.use_capacitron_vae:
            return False
        if isinstance(attention, OriginalAttention):
            return not (attention.windowing or (attention.forward_attn and attention.forward_attn_mask))
        return isinstance(attention, GravesAttention)

    def force(self, utterances: list[Utterance]) -> list[Tensor]:
        """As Forcer.force, the decoder in batches."""
        with torch.no_grad():
            if self.batches_well():
                return self._batch(utterances)
            return [self.one(utterance) for utterance in utterances]

    def one(self, utterance: Utterance) -> Tensor:
        """One utterance, what is random about it (dropout in the prenet, Capacitron) seeded by its name."""
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(zlib.crc32(utterance.name.encode()))
            return self._batch([utterance])[0]

    def _batch(self, utterances: list[Utterance]) -> list[Tensor]:
        decoder = self.model.decoder
        inputs = pad_sequence([self.encode(u) for u in utterances], batch_first=True)
        mels = pad_sequence([u.mel for u in utterances], batch_first=True)
        mels = torch.nn.functional.pad(mels, (0, 0, 0, -mels.shape[1] % decoder.r))
        counts = torch.tensor([len(u.symbols) for u in utterances], device=inputs.device)
        mask = torch.arange(inputs.shape[1], device=inputs.device) < counts.unsqueeze(1)
        decoded = decoder(inputs, mels, mask)[0]
        return [self.finish(frames[None, :, : len(u.mel)]) for frames, u in zip(decoded, utterances)]

    def encode(self, utterance: Utterance) -> Tensor:
        """What the decoder attends to, [T, D]: text, style and speaker in the order of Coqui's forward()."""
        model, mel = self.model, utterance.mel[None]
        embedded = model.embedding(utterance.symbols[None])
        if isinstance(model, Tacotron):
            encoded = model.encoder(embedded)
        else:
            encoded = model.encoder.inference(embedded.transpose(1, 2))
        if model.gst and model.use_gst:
            encoded = model.compute_gst(encoded, mel)
        speaker = model._get_speaker_conditioning(
            utterance.conditioning(),
            "speaker_embedding",
            normalize_d_vector=False,
            normalize_embedding=False,
            output_shape="BTC",
        )
        if speaker is not None:
            encoded = model._concat_speaker_embedding(encoded, speaker)
        if model.capacitron_vae and model.use_capacitron_vae:
            encoded = self._capacitron(encoded, embedded, speaker, utterance)
        return encoded[0]

    def _capacitron(self, encoded: Tensor, embedded: Tensor, speaker: Tensor | None, utterance: Utterance) -> Tensor:
        symbols, frames = utterance.lengths()
        settings = self.model.capacitron_vae
        return self.model.compute_capacitron_VAE_embedding(
            encoded,
            reference_mel_info=[utterance.mel[None], frames],
            text_info=[embedded, symbols] if settings.capacitron_use_text_summary_embeddings else None,
            speaker_embedding=speaker if settings.capacitron_use_speaker_embedding else None,
        )[0]

    def finish(self, decoded: Tensor) -> Tensor:
        """The decoder's frames [1, C, F] through the post-net: a mel [F, C], Tacotron's linear one made a mel."""
        if not isinstance(self.model, Tacotron):
            return (decoded + self.model.postnet(decoded))[0].T
        linear = self.model.last_linear(self.model.postnet(decoded))[0]
        return torch.from_numpy(self.model.ap.out_linear_to_mel(linear.T.cpu().numpy()).T)


class DurationForcer(Forcer):
    """ForwardTTS (FastPitch, FastSpeech, SpeedySpeech, the bundled voice): durations and pitch of the recording.

    Durations are those of the model's own aligner, those that the user gives, or those of :func:`follow`.
    Pitch and energy are measured; Coqui's models take them relative to mean and deviation of their corpus.
    """

    def __init__(self, model: ForwardTTS) -> None:
        super().__init__(model)
        self.takes_durations = not model.use_aligner
        self.timing = "the model's aligner" if model.use_aligner else "search along the model's own mel"
        self.scales: dict[str, tuple[float, float]] = {}

    def wants_survey(self) -> bool:
        """Coqui's own models know pitch and energy only relative to their corpus."""
        args = self.model.args
        return bool(args.use_pitch or args.use_energy) and not isinstance(self.model, DiffvocForwardTTS)

    def survey(self, utterances: list[Utterance]) -> None:
        """Mean and deviation of pitch and energy where they are not 0, as Coqui's datasets keep them."""
        args = self.model.args
        measures = {"pitch": self._hertz} if args.use_pitch else {}
        measures |= {"energy": self._loudness} if args.use_energy else {}
        for name, measure in measures.items():
            values = torch.cat([measure(u) for u in utterances] or [torch.zeros(1)])
            values = values[values != 0]
            if len(values) > 1:
                self.scales[name] = float(values.mean()), max(float(values.std()), 1e-6)

    def one(self, utterance: Utterance) -> Tensor:
        """One utterance under its own durations, pitch and energy."""
        model = self.model
        symbols, frames = utterance.lengths()
        durations = None
        if not model.use_aligner:
            durations = utterance.durations if utterance.durations is not None else follow(model, utterance)
            durations = durations[None].to(self.device)
        elif len(utterance.symbols) > len(utterance.mel):
            raise too_short(utterance)
        outputs = model(
            utterance.symbols[None],
            symbols,
            frames,
            y=utterance.mel[None],
            dr=durations,
            pitch=self.pitch(utterance) if model.args.use_pitch else None,
            energy=self.energy(utterance) if model.args.use_energy else None,
            aux_input=utterance.conditioning(),
        )
        return outputs["model_outputs"][0]

    def pitch(self, utterance: Utterance) -> Tensor:
        """What the model calls pitch, [1, 1, F], 0 where unvoiced."""
        hertz = self._hertz(utterance)
        if isinstance(self.model, DiffvocForwardTTS):  # as its recipe made it
            scaled = torch.where(hertz > 0, 3 * torch.log2(hertz.clamp_min(1) / 180) + 1e-3, 0.0)
        else:
            scaled = self._scale("pitch", hertz)
        return scaled.view(1, 1, -1).to(self.device)

    def energy(self, utterance: Utterance) -> Tensor:
        """What the model calls energy, [1, 1, F]."""
        return self._scale("energy", self._loudness(utterance)).view(1, 1, -1).to(self.device)

    def _scale(self, name: str, values: Tensor) -> Tensor:
        mean, deviation = self.scales.get(name, (0.0, 1.0))
        return torch.where(values != 0, (values - mean) / deviation, 0.0)

    def _hertz(self, utterance: Utterance) -> Tensor:
        ap = self.model.ap
        return pitch_of(torch.from_numpy(utterance.samples), ap.sample_rate, ap.hop_length, len(utterance.mel))

    def _loudness(self, utterance: Utterance) -> Tensor:
        """Norm of each frame's spectrum [F], which Coqui's models take for energy."""
        ap = self.model.ap
        window = torch.hann_window(ap.win_length)
        spectrum = torch.stft(
            torch.from_numpy(utterance.samples), ap.fft_size, ap.hop_length, ap.win_length, window, return_complex=True
        )
        return spectrum.abs().norm(dim=0)[: len(utterance.mel)]


class FlowForcer(Forcer):
    """GlowTTS: the most probable monotonic alignment, then the flow backwards from the text's means.

    This is Coqui's inference_with_MAS (Casanova et al. 2021), but for its last line: that returns the latent
    variable and not the mel. No noise is added, so that a clip has one result.
    """

    timing = "monotonic alignment search"

    def one(self, utterance: Utterance) -> Tensor:
        """One utterance; its last frames are left out when they do not fill the flow's squeeze."""
        model = self.model
        symbols, frames = utterance.lengths()
        if len(utterance.symbols) > len(utterance.mel) // model.num_squeeze * model.num_squeeze:
            raise too_short(utterance)
        conditioning = utterance.conditioning()
        means = model(utterance.symbols[None], symbols, utterance.mel[None], frames, aux_input=conditioning)["y_mean"]
        means = means.transpose(1, 2)
        speaker = model._get_speaker_conditioning(conditioning, "emb_g")
        mel, _ = model.decoder(means, torch.ones_like(means[:, :1]), g=speaker, reverse=True)
        return mel[0].T


class MixtureForcer(Forcer):
    """AlignTTS: the alignment of its mixture density network."""

    timing = "the model's aligner"

    def one(self, utterance: Utterance) -> Tensor:
        """One utterance under the durations of the best path."""
        symbols, frames = utterance.lengths()
        if len(utterance.symbols) > len(utterance.mel):
            raise too_short(utterance)
        conditioning = {"d_vectors": utterance.speaker[1]}
        output = self.model(utterance.symbols[None], symbols, utterance.mel[None], frames, conditioning, phase=2)
        return output["model_outputs"][0]


FORCERS: dict[type, type[Forcer]] = {
    BaseTacotron: AttentionForcer,
    ForwardTTS: DurationForcer,
    GlowTTS: FlowForcer,
    AlignTTS: MixtureForcer,
}


def forcer_of(kind: type) -> type[Forcer]:
    """Which forcer leads models of the class `kind`; DiffvocError when none does."""
    for base, forcer in FORCERS.items():
        if issubclass(kind, base):
            return forcer
    raise DiffvocError(
        f"the model {kind.__name__} cannot be led along a recording to give mels (it predicts waveforms, or has no "
        "forced mode here); choose a Tacotron, Tacotron2, ForwardTTS (FastPitch), GlowTTS or AlignTTS model."
    )


def too_short(utterance: Utterance) -> DiffvocError:
    """The error for a transcript with more symbols than its clip has frames."""
    return DiffvocError(
        f"its transcript has {len(utterance.symbols)} symbols and the clip only {len(utterance.mel)} frames; check "
        "that they belong together."
    )


# Durations of a model without an aligner


def follow(model: ForwardTTS, utterance: Utterance, rounds: int = 3) -> Tensor:
    """Frames of each symbol [T], summing to F, from a search along the model's own mel.

    The model's mel under its predicted durations, stretched to F frames, is warped on the recording's
    (dynamic time warping, Sakoe and Chiba 1978, both with each band at zero mean and unit deviation). What the
    recording spends on the frames of a symbol is its duration. The next round starts from what was found.

    Raises: DiffvocError when the transcript has more symbols than the clip has frames.
    """
    symbols, frames = utterance.lengths()
    count = len(utterance.symbols)
    if count > len(utterance.mel):
        raise too_short(utterance)
    even = whole(torch.ones(count, dtype=torch.float64), len(utterance.mel)).to(utterance.symbols.device)
    outputs = model(utterance.symbols[None], symbols, frames, dr=even[None], aux_input=utterance.conditioning())
    durations = whole(outputs["durations"][0].double().cpu(), len(utterance.mel))
    for _ in range(rounds):
        lasting = durations.clamp_min(1)
        length = torch.tensor([int(lasting.sum())], device=utterance.symbols.device)
        reference = model(
            utterance.symbols[None],
            symbols,
            length,
            dr=lasting[None].to(utterance.symbols.device),
            aux_input=utterance.conditioning(),
        )["model_outputs"][0]
        path = warp(standard(utterance.mel).cpu(), standard(reference).cpu())
        owner = torch.repeat_interleave(torch.arange(count), lasting)
        found = torch.bincount(owner[path], minlength=count)
        if torch.equal(found, durations):
            break
        durations = found
    return durations


def whole(durations: Tensor, frames: int) -> Tensor:
    """Durations [T] scaled to sum to `frames`, rounded so that each boundary moves by half a frame at most."""
    ends = durations.clamp_min(0).cumsum(0) + torch.arange(1, len(durations) + 1) * 1e-6
    ends = torch.round(ends * (frames / ends[-1])).long()
    return torch.diff(ends, prepend=torch.zeros(1, dtype=torch.long))


def standard(mel: Tensor) -> Tensor:
    """A mel [F, C] with each band at zero mean and unit deviation: no loudness, no tone colour of a room."""
    return (mel - mel.mean(0)) / mel.std(0, unbiased=False).clamp_min(1e-3)


def warp(mel: Tensor, reference: Tensor) -> Tensor:
    """For each frame of `mel` [F, C] the frame of `reference` [R, C] on the cheapest path, [F], never falling.

    A path may stay on a frame of the reference or skip up to two, both at a small price.
    """
    cost = torch.cdist(mel.double(), reference.double(), p=1).numpy() / mel.shape[1]
    prices = (0.1, 0.0, 0.1, 0.2)
    frames, states = cost.shape
    best = cost[0] + 0.1 * np.arange(states)
    came = np.zeros((frames, states), dtype=np.int64)
    padded = np.full(states + 3, np.inf)
    for frame in range(1, frames):
        padded[3:] = best
        choices = np.stack([padded[3 - step : 3 - step + states] + price for step, price in enumerate(prices)])
        came[frame] = choices.argmin(0)
        best = choices.min(0) + cost[frame]
    state = int((best + 0.1 * np.arange(states)[::-1]).argmin())
    path = np.empty(frames, dtype=np.int64)
    for frame in range(frames - 1, -1, -1):
        path[frame] = state
        state -= came[frame, state]
    return torch.from_numpy(path)


def pitch_of(samples: Tensor, rate: int, hop: int, frames: int, low: float = 65.0, high: float = 450.0) -> Tensor:
    """Fundamental frequency in Hz of each frame [F] of `samples` [N] by autocorrelation, 0 where unvoiced.

    The autocorrelation of a Hann-windowed stretch of three periods of `low` is divided by the window's (Boersma
    1993, equation 9). The shortest lag that is nearly as good as the best one counts, against octave errors.
    """
    size = int(3 * rate / low)
    padded = torch.nn.functional.pad(samples.float(), (size // 2, size // 2 + hop * 2))
    stretches = padded.unfold(0, size, hop)[:frames]
    window = torch.hann_window(size)
    transform = 1 << (2 * size - 1).bit_length()
    shortest, longest = int(rate / high), int(rate / low)

    def correlation(x: Tensor) -> Tensor:
        power = torch.fft.rfft(x, transform).abs().square()
        power[..., int(1200 / rate * transform) :] = 0  # harmonics above tell little and cost accuracy
        out = torch.fft.irfft(power)[..., : longest + 1]
        return out / out[..., :1].clamp_min(1e-12)

    own = correlation((stretches - stretches.mean(1, keepdim=True)) * window) / correlation(window)
    lags = own[:, shortest:]
    peak = lags.amax(1, keepdim=True)
    inner = (own[:, 1:-1] >= own[:, :-2]) & (own[:, 1:-1] >= own[:, 2:])
    risen = torch.nn.functional.pad(inner, (1, 1))[:, shortest:] & (lags > 0.9 * peak)
    first = torch.where(risen.any(1), risen.float().argmax(1), lags.argmax(1)) + shortest
    voiced = (peak[:, 0] > 0.6) & (stretches.std(1) > 0.003)
    return torch.where(voiced, rate / first, 0.0)


# From a clip to a mel for the vocoder


class Extractor:
    """Acoustic model and vocoder contract: clips in, mels as the vocoder will see them at synthesis out.

    Args:
        model: name, folder or weights of an acoustic model.
        vocoder: name or folder of a vocoder, with "?mel=approximate" where their spectrograms may differ.
        device: cpu, cuda or cuda:N.

    Raises: DiffvocError when one of them is not there, or the two do not fit.
    """

    def __init__(self, model: str, vocoder: str, device: str = "cpu") -> None:
        plain, self.approximate = split_spec(vocoder)
        folder = voices.resolve(voices.parse(plain)[0])
        values = read_config(folder)
        values.pop("format")
        self.vocoder, self.mel = folder.name, VocoderConfig.from_dict(values).mel
        self.weights, config = locate(model)
        self.forcer = load_forcer(self.weights, config, device)
        self.acoustic = self.forcer.model
        self.processor = self.acoustic.ap
        self.convert = mel_conversion.converter(self.processor, self.mel, self.approximate, self.vocoder)

    def identity(self) -> dict[str, Any]:
        """What two extractions must share for their mels to lie in one folder."""
        with self.weights.open("rb") as file:
            digest = hashlib.sha256()
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        return {
            "acoustic_model": {"class": type(self.acoustic).__name__, "sha256": digest.hexdigest()},
            "mel": self.mel.to_dict(),
            "conversion": "approximate" if self.approximate else "exact",
        }

    def frames(self, samples: int, rate: int) -> int:
        """Whole hops of the vocoder in a clip of so many samples: the length of its mel."""
        return -(-samples * self.mel.sample_rate // rate) // self.mel.hop_length

    def prepare(
        self, name: str, path: Path, text: str, speaker: str | None = None, durations: Path | None = None
    ) -> Utterance:
        """A clip and its transcript made ready. Raises DiffvocError saying why it cannot be used."""
        if not text.strip():
            raise DiffvocError("its transcript is empty; write what is said.")
        waveform, rate = read_clip(path)
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
            symbols=symbols.to(self.forcer.device),
            mel=mel.to(self.forcer.device),
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
            raise DiffvocError(f"its transcript cannot be read by the model ({_first_line(error)}).") from None
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

    def extract(self, utterances: list[Utterance]) -> list[Tensor]:
        """For each utterance the mel [M, F'] that the vocoder gets at synthesis, as long as the clip's own."""
        try:
            outputs = self.forcer.force(utterances)
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


def read_clip(path: Path) -> tuple[Tensor, int]:
    """A recording [N] mixed down to one channel, and its sample rate; DiffvocError when it is none."""
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError):
        raise DiffvocError(f"{path} cannot be read as audio; give wav, flac or ogg.") from None
    if not np.isfinite(samples).all():
        raise DiffvocError(f"{path} holds NaN or infinite samples; make it again.")
    return torch.from_numpy(samples.mean(axis=1)), rate


def read_durations(path: Path, symbols: int, frames: int) -> Tensor:
    """Frames of each symbol [T] from an .npy, which must sum to `frames` give or take two.

    Raises: DiffvocError for a missing file, another number of symbols or another sum.
    """
    try:
        values = np.load(path, allow_pickle=False)
        durations = torch.from_numpy(np.round(values.astype(np.float64))).long()
    except (OSError, ValueError, TypeError):
        raise DiffvocError(f"{path} cannot be read; save the frames of each symbol as a plain array.") from None
    if durations.shape != (symbols,) or (durations < 0).any():
        raise DiffvocError(
            f"{path} has shape {list(values.shape)} and the transcript {symbols} symbols; give one each."
        )
    late = frames - int(durations.sum())
    longest = int(durations.argmax())
    if abs(late) > 2 or durations[longest] + late < 0:
        raise DiffvocError(f"{path} sums to {int(durations.sum())} frames and the clip has {frames}; give its own.")
    durations[-1 if durations[-1] + late >= 0 else longest] += late
    return durations
