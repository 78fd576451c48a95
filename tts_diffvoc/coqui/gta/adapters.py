"""Acoustic models that are led along recordings (teacher forcing), an adapter for each kind of them.

Their weights are read as tensors and plain values only.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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
from TTS.utils.audio.numpy_transforms import compute_energy
from TTS.utils.generic_utils import find_module
from TTS.utils.manage import ModelManager

from tts_diffvoc import voices
from tts_diffvoc.checkpoint import read_safetensors
from tts_diffvoc.coqui import zoo
from tts_diffvoc.coqui.acoustic import DiffvocAcoustic
from tts_diffvoc.coqui.gta.corpus import Utterance
from tts_diffvoc.coqui.gta.prosody import follow, pitch_of
from tts_diffvoc.coqui.slt import DiffvocForwardTTS
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.importers.reading import read_torch


class Adapter(ABC):
    """An acoustic model of Coqui's, in evaluation mode, that is led along recordings.

    Attributes:
        timing: where the durations come from, in words.
    """

    timing = ""
    takes_durations = False

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def fit(self, utterances: Iterable[Utterance]) -> None:
        """Learn what the model must know about the corpus as a whole; `utterances` are a fair sample of it."""

    def run(self, utterances: list[Utterance]) -> list[Tensor]:
        """The model's output [F', C] for each utterance, in its own levels; F' is F to within its step."""
        return [self.run_one(utterance) for utterance in utterances]

    @abstractmethod
    def run_one(self, utterance: Utterance) -> Tensor:
        """The output [F', C] for one utterance."""

    def pitch(self, utterance: Utterance) -> Tensor:
        """F0 of the recording in Hz [F], 0 where unvoiced."""
        ap, samples = self.model.ap, torch.from_numpy(utterance.samples)
        return pitch_of(samples, ap.sample_rate, ap.hop_length, len(utterance.mel))

    def durations(self, utterance: Utterance) -> Tensor:
        """Frames of each symbol [1, T]: those that the user gave, or those of :func:`follow`."""
        given = utterance.durations
        return (follow(self.model, utterance) if given is None else given)[None].to(self.device)


class TacotronAdapter(Adapter):
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

    def run(self, utterances: list[Utterance]) -> list[Tensor]:
        """As Adapter.run, the decoder in batches."""
        return self._batch(utterances) if self.batches_well() else super().run(utterances)

    def run_one(self, utterance: Utterance) -> Tensor:
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
            settings, (symbols, frames) = model.capacitron_vae, utterance.lengths()
            encoded = model.compute_capacitron_VAE_embedding(
                encoded,
                reference_mel_info=[mel, frames],
                text_info=[embedded, symbols] if settings.capacitron_use_text_summary_embeddings else None,
                speaker_embedding=speaker if settings.capacitron_use_speaker_embedding else None,
            )[0]
        return encoded[0]

    def finish(self, decoded: Tensor) -> Tensor:
        """The decoder's frames [1, C, F] through the post-net: a mel [F, C], Tacotron's linear one made a mel."""
        if not isinstance(self.model, Tacotron):
            return (decoded + self.model.postnet(decoded))[0].T
        linear = self.model.last_linear(self.model.postnet(decoded))[0]
        return torch.from_numpy(self.model.ap.out_linear_to_mel(linear.T.cpu().numpy()).T)


class ForwardAdapter(Adapter):
    """ForwardTTS (FastPitch, FastSpeech, SpeedySpeech, the bundled voice): durations and pitch of the recording.

    Durations are those of the model's own aligner, those that the user gives, or those of :func:`follow`.
    Pitch and energy are measured; Coqui's models take them relative to mean and deviation of their corpus.
    """

    def __init__(self, model: ForwardTTS) -> None:
        super().__init__(model)
        self.takes_durations = not model.use_aligner
        self.timing = "the model's aligner" if model.use_aligner else "search along the model's own mel"
        self.scales: dict[str, tuple[float, float]] = {}

    def fit(self, utterances: Iterable[Utterance]) -> None:
        """Mean and deviation of pitch and energy where they are not 0, as Coqui's datasets keep them."""
        args = self.model.args
        measures = {"pitch": self.pitch} if args.use_pitch else {}
        measures |= {"energy": self._loudness} if args.use_energy else {}
        if not measures or isinstance(self.model, DiffvocForwardTTS):
            return
        sample = list(utterances)
        for name, measure in measures.items():
            values = torch.cat([measure(u) for u in sample] or [torch.zeros(1)])
            values = values[values != 0]
            if len(values) > 1:
                self.scales[name] = float(values.mean()), max(float(values.std()), 1e-6)

    def run_one(self, utterance: Utterance) -> Tensor:
        """One utterance under its own durations, pitch and energy."""
        args, (symbols, frames) = self.model.args, utterance.lengths()
        if not self.takes_durations:
            utterance.check_length()
        pitch = self.pitch(utterance) if args.use_pitch else None
        if pitch is not None and isinstance(self.model, DiffvocForwardTTS):  # as its recipe made it
            pitch = torch.where(pitch > 0, 3 * torch.log2(pitch.clamp_min(1) / 180) + 1e-3, 0.0)
        outputs = self.model(
            utterance.symbols[None],
            symbols,
            frames,
            y=utterance.mel[None],
            dr=self.durations(utterance) if self.takes_durations else None,
            pitch=self._scaled("pitch", pitch),
            energy=self._scaled("energy", self._loudness(utterance) if args.use_energy else None),
            aux_input=utterance.conditioning(),
        )
        return outputs["model_outputs"][0]

    def _scaled(self, name: str, values: Tensor | None) -> Tensor | None:
        """Pitch or energy [F] as the model takes it, [1, 1, F]."""
        if values is None:
            return None
        mean, deviation = self.scales.get(name, (0.0, 1.0))
        return torch.where(values != 0, (values - mean) / deviation, 0.0).view(1, 1, -1).to(self.device)

    def _loudness(self, utterance: Utterance) -> Tensor:
        """Norm of each frame's spectrum [F], which Coqui's models take for energy."""
        ap = self.model.ap
        sizes = {"fft_size": ap.fft_size, "hop_length": ap.hop_length, "win_length": ap.win_length}
        return torch.from_numpy(compute_energy(utterance.samples, **sizes))[: len(utterance.mel)]


class VoiceAdapter(Adapter):
    """The bundled voices: durations that the user gives or of :func:`follow`, F0 of the recording."""

    timing = "search along the model's own mel"
    takes_durations = True

    def run_one(self, utterance: Utterance) -> Tensor:
        """One utterance under its own durations and F0."""
        symbols, frames = utterance.lengths()
        f0 = self.pitch(utterance).view(1, 1, -1)
        outputs = self.model(utterance.symbols[None], symbols, frames, dr=self.durations(utterance), pitch=f0)
        return outputs["model_outputs"][0]


class GlowAdapter(Adapter):
    """GlowTTS: the most probable monotonic alignment, then the flow backwards from the text's means.

    This is Coqui's inference_with_MAS (Casanova et al. 2021), but for its last line: that returns the latent
    variable and not the mel. No noise is added, so that a clip has one result.
    """

    timing = "monotonic alignment search"

    def run_one(self, utterance: Utterance) -> Tensor:
        """One utterance; its last frames are left out when they do not fill the flow's squeeze."""
        model = self.model
        symbols, frames = utterance.lengths()
        utterance.check_length(len(utterance.mel) // model.num_squeeze * model.num_squeeze)
        conditioning = utterance.conditioning()
        means = model(utterance.symbols[None], symbols, utterance.mel[None], frames, aux_input=conditioning)["y_mean"]
        means = means.transpose(1, 2)
        speaker = model._get_speaker_conditioning(conditioning, "emb_g")
        mel, _ = model.decoder(means, torch.ones_like(means[:, :1]), g=speaker, reverse=True)
        return mel[0].T


class AlignAdapter(Adapter):
    """AlignTTS: the alignment of its mixture density network."""

    timing = "the model's aligner"

    def run_one(self, utterance: Utterance) -> Tensor:
        """One utterance under the durations of the best path."""
        symbols, frames = utterance.lengths()
        utterance.check_length()
        conditioning = {"d_vectors": utterance.speaker[1]}
        output = self.model(utterance.symbols[None], symbols, utterance.mel[None], frames, conditioning, phase=2)
        return output["model_outputs"][0]


ADAPTERS: dict[type, type[Adapter]] = {
    BaseTacotron: TacotronAdapter,
    ForwardTTS: ForwardAdapter,
    DiffvocAcoustic: VoiceAdapter,
    GlowTTS: GlowAdapter,
    AlignTTS: AlignAdapter,
}


def locate(spec: str) -> tuple[Path, Path]:
    """Weights and configuration of an acoustic model: a name, a folder, or a file beside its config.json.

    Raises: DiffvocError when there is no such model.
    """
    if voices.bundled_acoustic(spec) is not None or spec.startswith("tts_models/"):
        weights, config, _ = zoo.fetch(ModelManager(), spec)
        if weights is None or config is None or not Path(weights).is_file():
            raise DiffvocError(f"{spec} predicts no mel spectrogram; choose a Tacotron, FastPitch or GlowTTS model.")
        return Path(weights), Path(config)
    path = Path(spec).expanduser()
    if not path.exists():
        known = [voices.full_name(name) for name in voices.ACOUSTIC]
        raise voices.unknown(spec, known, "acoustic model, folder or file")
    return zoo.find_trained(path)


def load_adapter(weights: Path, config_path: Path, device: str = "cpu") -> Adapter:
    """The acoustic model, ready to be led.

    Raises: DiffvocError for a model that cannot be led along a recording, or weights that are not its own.
    """
    try:
        config = load_config(config_path)
        kind = find_module("TTS.tts.models", (getattr(config, "base_model", None) or config.model).lower())
    except DiffvocError:
        raise
    except Exception as error:  # whatever a foreign file makes Coqui raise
        raise DiffvocError(
            f"{config_path} is no configuration of a Coqui acoustic model ({first_line(error)}); give the one that "
            "its training wrote."
        ) from None
    adapter = next((adapter for base, adapter in ADAPTERS.items() if issubclass(kind, base)), None)
    if adapter is None:
        raise DiffvocError(
            f"the model {kind.__name__} cannot be led along a recording to give mels (it predicts waveforms, or has no "
            "forced mode here); choose a Tacotron, Tacotron2, ForwardTTS (FastPitch), GlowTTS or AlignTTS model."
        )
    try:
        model = kind(config)
    except Exception as error:
        raise DiffvocError(
            f"the {kind.__name__} of {config_path} cannot be set up ({first_line(error)}); check that what its "
            "configuration names (speakers, statistics, phonemizer) is there."
        ) from None
    _load_weights(model, weights)
    model.eval().requires_grad_(False)
    if isinstance(model, GlowTTS):
        model.store_inverse()
    return adapter(model.to(device))


def _load_weights(model: Any, path: Path) -> None:
    if isinstance(model, (DiffvocAcoustic, DiffvocForwardTTS)):
        model.load_checkpoint(model.config, path, eval=True)
        return
    state = {"model": read_safetensors(path)} if path.suffix == ".safetensors" else read_torch(path)
    try:
        model.load_state_dict(state["model"])
    except (KeyError, IndexError, RuntimeError, AttributeError, TypeError) as error:
        raise DiffvocError(
            f"{path} does not hold the weights of the {type(model).__name__} that its config.json describes "
            f"({first_line(error)}); give the two that belong together."
        ) from None
    if isinstance(model, BaseTacotron):
        # As Coqui: gradual training may have ended at another number of frames a step than it began with.
        trained = state.get("config")
        model.decoder.set_r(state.get("r") or (trained["r"] if isinstance(trained, dict) else model.config.r))


def first_line(error: Exception) -> str:
    """What a foreign error says, in a line that fits into a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (" ".join(lines[:2]) or type(error).__name__)[:160].rstrip(".:")
