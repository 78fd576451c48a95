"""The bundled acoustic voices as a model of Coqui TTS: English text to the vocoders' log-mel."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from coqpit import Coqpit
from torch import Tensor
from TTS.tts.configs.shared_configs import BaseTTSConfig
from TTS.tts.models.base_tts import BaseTTS

from tts_diffvoc import voices
from tts_diffvoc.acoustic import AcousticConfig, AcousticModel, expand
from tts_diffvoc.checkpoint import load_weights, read_weights
from tts_diffvoc.english.phonemes import phonemes
from tts_diffvoc.english.symbols import PAD, SYMBOL_IDS, SYMBOLS
from tts_diffvoc.errors import DiffvocError

MODEL_ID = "diffvoc_acoustic"


class EnglishTokenizer:
    """English text to symbol numbers, in the place of Coqui's TTSTokenizer."""

    pad_id = SYMBOL_IDS[PAD]

    def text_to_ids(self, text: str, language: str | None = None) -> list[int]:
        """Symbol numbers of a sentence; `language` is taken for Coqui's sake, the voices are English."""
        return [SYMBOL_IDS[symbol] for symbol in phonemes(text)]


@dataclass
class DiffvocAcousticArgs(Coqpit):
    """Sizes as in AcousticConfig, and what Coqui asks of every model."""

    channels: int = 256
    encoder_blocks: int = 5
    prosody_channels: int = 160
    prosody_blocks: int = 4
    decoder_blocks: int = 6
    kernel_size: int = 7
    widening: int = 3
    num_chars: int = len(SYMBOLS)
    use_speaker_embedding: bool = False
    use_d_vector_file: bool = False

    def sizes(self) -> AcousticConfig:
        """The sizes alone."""
        names = {one.name for one in fields(AcousticConfig)} - {"mel"}
        return AcousticConfig.from_dict({name: self[name] for name in names})


@dataclass
class DiffvocAcousticConfig(BaseTTSConfig):
    """Coqui's configuration of a bundled acoustic voice."""

    model: str = MODEL_ID
    model_args: DiffvocAcousticArgs = field(default_factory=DiffvocAcousticArgs)
    num_chars: int = len(SYMBOLS)
    use_phonemes: bool = False


class DiffvocAcoustic(BaseTTS):
    """AcousticModel in Coqui's calling convention.

    Attributes:
        speed, semitones: of the voice, as options behind its name set them; `speed` of a call multiplies the former.
        length_scale: Coqui's name for the inverse of speed.
    """

    tokenizer = EnglishTokenizer()

    def __init__(self, config: Any, ap: None = None, tokenizer: None = None, speaker_manager: None = None) -> None:
        super().__init__(config)
        self.network = AcousticModel(config.model_args.sizes())
        self.speed, self.semitones, self.length_scale = 1.0, 0.0, 1.0

    def synthesize(self, text: str, *args: Any, speed: float = 1.0, pitch: float = 0.0, **kwargs: Any) -> Any:
        """Coqui's synthesize; `speed` 2 is twice as fast, `pitch` is added in semitones."""
        asked = {"speed": option("speed", str(speed))[1], "pitch": option("pitch", str(pitch))[1]}
        extra = {**(kwargs.pop("extra_aux_input", None) or {}), **asked}
        return super().synthesize(text, *args, extra_aux_input=extra, **kwargs)

    @torch.no_grad()
    def inference(self, x: Tensor, aux_input: dict[str, Any] | None = None) -> dict[str, Tensor]:
        """Symbols [1, T] -> outputs as Coqui's own; "model_outputs" is the mel [1, F, 80]."""
        asked = aux_input or {}
        mel, frames, durations = self.network.generate(
            x,
            speed=self.speed * asked.get("speed", 1.0) / self.length_scale,
            semitones=self.semitones + asked.get("pitch", 0.0),
        )
        alignments = expand(torch.eye(x.shape[1], device=x.device)[None], durations, int(frames[0]))[0]
        return {"model_outputs": mel.transpose(1, 2), "durations": durations, "alignments": alignments}

    @torch.no_grad()
    def forward(
        self,
        x: Tensor,
        x_lengths: Tensor,
        y_lengths: Tensor,
        dr: Tensor | None = None,
        pitch: Tensor | None = None,
        **other: Any,
    ) -> dict[str, Tensor]:
        """The mel under given durations and F0, as ForwardTTS.forward has it.

        Args:
            x: symbols [B, T]; `x_lengths` [B].
            y_lengths: frames [B].
            dr: frames of each symbol [B, T].
            pitch: F0 in Hz [B, 1, F], 0 where unvoiced; the model's own when it is None.
        """
        hidden, own = self.network.encode(x, x_lengths)
        durations = own if dr is None else dr.to(own.dtype)
        frames, place = expand(hidden, durations, int(y_lengths.max()))
        mask = (torch.arange(frames.shape[1], device=x.device) < y_lengths[:, None]).unsqueeze(2)
        f0 = None if pitch is None else pitch[:, 0, : frames.shape[1]].to(own)
        mel = self.network.decode_frames(frames, place, mask, f0=f0)
        return {"model_outputs": mel, "durations": durations}

    def load_checkpoint(
        self,
        config: Any,
        checkpoint_path: str | Path | None = None,
        eval: bool = False,
        strict: bool = True,
        cache: bool = False,
        **other: Any,
    ) -> None:
        """Read safetensors, float16 or float32; options stand behind the path: `model.safetensors?speed=0.8`.

        Raises: DiffvocError when the file is not this model's, or for an unknown option.
        """
        path, options = voices.parse(str(checkpoint_path or other.get("checkpoint_dir", "")))
        for name, value in options.items():
            setattr(self, *option(name, value))
        load_weights(self.network, read_weights(Path(path)), Path(path))
        if eval:
            self.eval()


def option(name: str, value: str) -> tuple[str, float]:
    """The attribute and the number that an option behind a voice's name means. Raises DiffvocError for another one."""
    attributes = {"speed": "speed", "pitch": "semitones"}
    if name not in attributes:
        raise DiffvocError(f"a voice has no option {name!r}; it knows speed and pitch.")
    try:
        return attributes[name], float(value)
    except ValueError:
        raise DiffvocError(f"{name} is {value!r}; give a number.") from None
