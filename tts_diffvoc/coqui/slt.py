"""The first bundled voice, `slt`: Coqui's ForwardTTS with ConvNeXt blocks. Deprecated; it goes with the next release.

Durations were learnt from a synthesiser that tells them, so there is no aligner. Only what the two networks inside do
is changed here; the duration and pitch predictors, the expansion by durations and the inference are Coqui's.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from TTS.tts.configs.fast_pitch_config import FastPitchConfig
from TTS.tts.models.forward_tts import ForwardTTS

from tts_diffvoc.acoustic import ConvNeXt
from tts_diffvoc.checkpoint import load_weights, read_weights
from tts_diffvoc.coqui.acoustic import EnglishTokenizer
from tts_diffvoc.english.phonemes import phonemes
from tts_diffvoc.english.symbols import SYMBOL_IDS

MODEL_ID = "diffvoc_forward_tts"

# What this voice says in place of symbols that came later.
INSTEAD = {"ɾ": "t", ";": ",", ":": ",", "…": "."}


class Tokenizer(EnglishTokenizer):
    """Symbol numbers of English text, without the symbols that this voice was not trained on."""

    def text_to_ids(self, text: str, language: str | None = None) -> list[int]:
        """As EnglishTokenizer."""
        return [SYMBOL_IDS[INSTEAD.get(symbol, symbol)] for symbol in phonemes(text)]


class Blocks(ConvNeXt):
    """ConvNeXt blocks in Coqui's calling convention."""

    def forward(self, x: Tensor, x_mask: Tensor, g: Tensor | None = None) -> Tensor:
        """[B, C, T] and its mask [B, 1, T] -> [B, C, T]."""
        return super().forward(x.transpose(1, 2), x_mask.transpose(1, 2)).transpose(1, 2)


class MelDecoder(nn.Module):
    """Expanded encoder output and the place within each phone -> natural-log mel."""

    def __init__(self, channels: int, out_channels: int, **sizes: int) -> None:
        super().__init__()
        self.place = nn.Conv1d(3, channels, 1)
        self.body = Blocks(channels, **sizes)
        self.out = nn.Conv1d(channels, out_channels, 1)
        # Mean and deviation of each band over the training set: the network's part is near unit size.
        self.register_buffer("mel_mean", torch.full((out_channels, 1), -5.0))
        self.register_buffer("mel_std", torch.full((out_channels, 1), 2.0))

    def forward(self, x: Tensor, place: Tensor, mask: Tensor) -> Tensor:
        """[B, C, F] and `place` [B, 3, F] -> mel [B, out_channels, F]."""
        y = self.out(self.body(x + self.place(place), mask))
        return (y * self.mel_std + self.mel_mean) * mask


def places(durations: Tensor, attention: Tensor) -> Tensor:
    """For each frame: the fraction of its phone that is over, frames since its start and to its end / 10.

    durations [B, T], attention [B, T, F] -> [B, 3, F].
    """
    ends = durations.cumsum(1)
    bounds = torch.stack([ends - durations, ends], 1).to(attention.dtype)
    start, end = (bounds @ attention).unbind(1)
    middle = torch.arange(attention.shape[2], device=attention.device) + 0.5
    length = (end - start).clamp_min(1.0)
    return torch.stack([(middle - start) / length, (middle - start) / 10, (end - middle) / 10], 1)


@dataclass
class DiffvocForwardTTSConfig(FastPitchConfig):
    """Coqui configuration of the voice, whose config.json says all sizes."""

    model: str = MODEL_ID
    base_model: str | None = None


# Sizes of Coqui's own encoder and decoder while they stand in, before ours replace them.
SMALLEST = {"kernel_size": 1, "dilations": [1], "num_conv_blocks": 1, "num_res_blocks": 1}


class DiffvocForwardTTS(ForwardTTS):
    """ForwardTTS with ConvNeXt encoder and decoder, decoder that knows phone places."""

    tokenizer = Tokenizer()

    def __init__(self, config: Any, ap: None = None, tokenizer: None = None, speaker_manager: None = None) -> None:
        args = config.model_args
        sizes = dict(args.encoder_params), dict(args.decoder_params)
        args.encoder_params, args.decoder_params = dict(SMALLEST), dict(SMALLEST)
        try:
            super().__init__(config)
        finally:
            args.encoder_params, args.decoder_params = sizes
        self.encoder = Blocks(args.hidden_channels, **sizes[0])
        self.decoder = MelDecoder(args.hidden_channels, args.out_channels, **sizes[1])
        nn.init.normal_(self.emb.weight, std=0.3)

    def format_durations(self, o_dr_log: Tensor, x_mask: Tensor) -> Tensor:
        """Whole frames from log(1 + frames) [B, 1, T]; gaps between words may last none."""
        frames = torch.round((torch.exp(o_dr_log) - 1) * x_mask * self.length_scale).clamp(0, self.max_duration)
        frames[:, :, 0].clamp_(min=4)
        return frames

    def _forward_decoder(
        self, o_en: Tensor, dr: Tensor, x_mask: Tensor, y_lengths: Tensor, g: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Expand by durations, add the place in each phone, decode: mel [B, F, 80], attention [B, F, T]."""
        ends = dr.cumsum(1)
        frames = torch.arange(int(y_lengths.max()), device=o_en.device).view(1, 1, -1)
        inside = (frames >= (ends - dr).unsqueeze(2)) & (frames < ends.unsqueeze(2))
        attention = inside.to(o_en.dtype) * x_mask.transpose(1, 2)
        y_mask = (frames < y_lengths.view(-1, 1, 1)).to(o_en.dtype)
        mel = self.decoder(o_en @ attention, places(dr, attention), y_mask)
        return mel.transpose(1, 2), attention.transpose(1, 2)

    def inference(self, x: Tensor, aux_input: dict[str, Any] | None = None) -> dict[str, Tensor]:
        """Symbols [1, T] -> outputs as Coqui's own, `model_outputs` is the mel [1, F, 80]."""
        with torch.no_grad():
            return ForwardTTS.inference.__wrapped__(self, x, aux_input)

    def load_checkpoint(
        self,
        config: Any,
        checkpoint_path: str | Path | None = None,
        eval: bool = False,
        strict: bool = True,
        cache: bool = False,
        **other: Any,
    ) -> None:
        """Read safetensors (float16 or float32); raises DiffvocError when the file is not this model's."""
        logging.getLogger("TTS.diffvoc").warning("The voice slt goes with the next release; ada and joe stay.")
        path = Path(checkpoint_path or other.get("checkpoint_dir", ""))
        weights = {}
        for name, value in read_weights(path).items():  # blocks of layers in the file, lists of layers in ConvNeXt
            name = re.sub(r"blocks\.(\d+)\.(\w+)", r"\2.\1", name)
            weights[re.sub(r"\bnorm\.(\d+)", r"norms.\1", name)] = value
        load_weights(self, weights, path)
        if eval:
            self.eval()
