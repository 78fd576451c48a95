"""The bundled acoustic model: English text to natural-log mel, Coqui's ForwardTTS with ConvNeXt blocks.

Text becomes phonemes by `gruut` (its lexicon is in the package, no network). Durations are learnt from a
synthesiser that tells them, so there is no aligner. Only what the two networks inside do is changed here; the
duration and pitch predictors, the expansion by durations, the loss and the inference are Coqui's.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from TTS.tts.configs.fast_pitch_config import FastPitchConfig
from TTS.tts.configs.forward_tts_config import ForwardTTSArgs
from TTS.tts.models.forward_tts import ForwardTTS

from tts_diffvoc.errors import DiffvocError

MODEL_ID = "diffvoc_forward_tts"
CONFIG_CLASS = "DiffvocForwardTTSConfig"
MODEL_CLASS = "DiffvocForwardTTS"

PAD, START, GAP = "_", "^", " "
BREAKS = ",.?!"
CONSONANTS = "b d d͡ʒ f h j k l m n p s t t͡ʃ v w z ð ŋ ɡ ɹ ʃ ʒ θ".split()
VOWELS = "aɪ aʊ eɪ i oʊ u æ ə ɑ ɔ ɔɪ ɚ ɛ ɪ ʊ ʌ".split()
SYMBOLS = [
    PAD,
    START,
    GAP,
    *BREAKS,
    *CONSONANTS,
    *(mark + vowel for vowel in VOWELS for mark in ("", "ˈ", "ˌ")),
]
SYMBOL_IDS = {symbol: index for index, symbol in enumerate(SYMBOLS)}

# Signs that gruut passes over in silence, as they are read aloud.
SIGNS = {
    "@": " at ",
    "#": " number ",
    "+": " plus ",
    "=": " equals ",
    "/": " slash ",
    "⁄": " over ",
    "°": " degrees ",
    "_": " ",
}
# What gruut's other vowels are closest to.
SAME = {"ɝ": "ɚ", "o": "oʊ", "e": "eɪ", "a": "ɑ", "ᵻ": "ɪ", "ɾ": "t", "r": "ɹ", "g": "ɡ", "x": "k", "ʔ": "t"}


def clean(text: str) -> str:
    """Plain letters and the signs in words: accents off, curly quotes straight, dashes as commas.

    Words in capitals are lowered when they are long or all are, since gruut would spell them.
    """
    text = unicodedata.normalize("NFKD", re.sub(r"https?://", "", text))
    text = "".join(c for c in text if not unicodedata.combining(c))
    for sign, word in SIGNS.items():
        text = text.replace(sign, word)
    text = re.sub(r"\s+[-–—]+\s+|[–—]|--+", ", ", text)
    text = text.replace("’", "'").replace("‘", "'")
    if text.isupper() and " " in text.strip():
        text = text.lower()
    text = re.sub(r"\b[A-Z]{4,}\b", lambda match: match[0].lower(), text)
    return re.sub(r"\s+", " ", text).strip()


def symbol(phoneme: str) -> list[str]:
    """One of gruut's phonemes as symbols of the model; an unknown one falls apart into known characters."""
    mark, bare = ("", phoneme) if phoneme[:1] not in "ˈˌ" else (phoneme[0], phoneme[1:])
    bare = SAME.get(bare, bare)
    if bare in VOWELS:
        return [mark + bare]
    if bare in CONSONANTS:
        return [bare]
    return [s for c in bare if len(bare) > 1 for s in symbol(c)]


def spell(word: str) -> list[str]:
    """The letters of a word that cannot be read, such as `xkcd`, one after the other."""
    out = [GAP]
    for letter in word:
        if letter.isalpha():
            out += [*phonemes(letter.upper())[1:-1], GAP]
    return out[1:-1]


@lru_cache(maxsize=64)
def phonemes(text: str) -> tuple[str, ...]:
    """Symbols of `text`: START, then phonemes with stress, GAP between words, punctuation, a break last.

    Raises DiffvocError when the text has nothing that can be spoken.
    """
    import gruut  # it costs 0.8 s, paid when the first sentence is spoken

    out = [START]
    for sentence in gruut.sentences(clean(text), lang="en-us"):
        for word in sentence:
            if word.is_minor_break or word.is_major_break:
                sign = word.text[:1] if word.text[:1] in BREAKS and word.is_major_break else ","
                if out[-1] in BREAKS:
                    out.pop()
                out.append(sign if len(out) > 1 else GAP)
            else:
                spoken = [s for p in word.phonemes or () for s in symbol(p)]
                if len(spoken) > 1 and not any(s.lstrip("ˈˌ") in VOWELS for s in spoken):
                    spoken = spell(word.text)
                if spoken and len(out) > 1:
                    out.append(GAP)
                out += spoken
    if not any(s[-1].isalpha() for s in out):
        raise DiffvocError(f"the text {text[:60]!r} has no word that can be spoken; give at least one word or number.")
    if out[-1] not in ".?!":
        out = out[:-1] if out[-1] in BREAKS else out
        out.append(".")
    return tuple(out)


class GruutTokenizer:
    """English text to symbol numbers, in the place of Coqui's TTSTokenizer."""

    pad_id = SYMBOL_IDS[PAD]

    def text_to_ids(self, text: str, language: str | None = None) -> list[int]:
        """Symbol numbers of a sentence; `language` is taken for Coqui's sake, the voice is English."""
        return [SYMBOL_IDS[s] for s in phonemes(text)]

    def ids_to_text(self, ids: list[int]) -> str:
        """The symbols as one string."""
        return "".join(SYMBOLS[i] for i in ids)

    decode = ids_to_text

    def print_logs(self, level: int = 0) -> None:
        """Coqui asks its tokenizers for it; there is nothing to tell."""


class ConvNeXt(nn.Module):
    """Blocks of a depthwise convolution, layer norm and two dense layers (Liu et al. 2022), along time."""

    def __init__(self, channels: int, blocks: int, kernel_size: int, widening: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for _ in range(blocks):
            block = nn.Module()
            block.depthwise = nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)
            block.norm = nn.LayerNorm(channels)
            block.widen = nn.Linear(channels, widening * channels)
            block.narrow = nn.Linear(widening * channels, channels)
            self.blocks.append(block)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, x_mask: Tensor) -> Tensor:
        """[B, C, T] and its mask [B, 1, T] -> [B, C, T]."""
        for block in self.blocks:
            y = block.norm(block.depthwise(x * x_mask).transpose(1, 2))
            x = x + block.narrow(nn.functional.gelu(block.widen(y))).transpose(1, 2)
        return self.norm(x.transpose(1, 2)).transpose(1, 2) * x_mask


class TextEncoder(ConvNeXt):
    """The encoder in Coqui's calling convention."""

    def forward(self, x: Tensor, x_mask: Tensor, g: Tensor | None = None) -> Tensor:
        """[B, C, T] symbols' embeddings -> [B, C, T]."""
        return super().forward(x, x_mask)


class MelDecoder(nn.Module):
    """Expanded encoder output and the place within each phone -> natural-log mel."""

    def __init__(self, channels: int, out_channels: int, **sizes: int) -> None:
        super().__init__()
        self.place = nn.Conv1d(3, channels, 1)
        self.body = ConvNeXt(channels, **sizes)
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
class DiffvocForwardTTSArgs(ForwardTTSArgs):
    """Sizes of the bundled acoustic model."""

    num_chars: int = len(SYMBOLS)
    out_channels: int = 80
    hidden_channels: int = 192
    use_aligner: bool = False
    use_pitch: bool = True
    pitch_predictor_hidden_channels: int = 192
    duration_predictor_hidden_channels: int = 192
    positional_encoding: bool = False
    detach_duration_predictor: bool = True
    max_duration: int = 200
    encoder_type: str = "residual_conv_bn"
    encoder_params: dict = field(default_factory=lambda: {"blocks": 5, "kernel_size": 7, "widening": 3})
    decoder_type: str = "residual_conv_bn"
    decoder_params: dict = field(default_factory=lambda: {"blocks": 6, "kernel_size": 7, "widening": 3})


@dataclass
class DiffvocForwardTTSConfig(FastPitchConfig):
    """Coqui configuration of the bundled acoustic model."""

    model: str = MODEL_ID
    base_model: str | None = None
    model_args: DiffvocForwardTTSArgs = field(default_factory=DiffvocForwardTTSArgs)
    num_chars: int = len(SYMBOLS)
    use_phonemes: bool = False
    compute_f0: bool = True
    f0_cache_path: str | None = None
    spec_loss_type: str = "l1"
    duration_loss_type: str = "mse"
    use_ssim_loss: bool = False
    spec_loss_alpha: float = 1.0
    dur_loss_alpha: float = 1.0
    pitch_loss_alpha: float = 0.2
    binary_align_loss_alpha: float = 0.0


# Sizes of Coqui's own encoder and decoder while they stand in, before ours replace them.
SMALLEST = {"kernel_size": 1, "dilations": [1], "num_conv_blocks": 1, "num_res_blocks": 1}


class DiffvocForwardTTS(ForwardTTS):
    """ForwardTTS with a gruut tokenizer, ConvNeXt encoder and decoder, decoder that knows phone places."""

    tokenizer = GruutTokenizer()

    def __init__(self, config: Any, ap: None = None, tokenizer: None = None, speaker_manager: None = None) -> None:
        args = config.model_args
        sizes = dict(args.encoder_params), dict(args.decoder_params)
        args.encoder_params, args.decoder_params = dict(SMALLEST), dict(SMALLEST)
        try:
            super().__init__(config)
        finally:
            args.encoder_params, args.decoder_params = sizes
        self.encoder = TextEncoder(args.hidden_channels, **sizes[0])
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
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = Path(checkpoint_path or other.get("checkpoint_dir", ""))
        path = path / "model.safetensors" if path.is_dir() else path
        try:
            weights = {name: value.float() for name, value in load_file(path).items()}
            self.load_state_dict(weights, strict=strict)
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = str(error).split("\n")[0]
            raise DiffvocError(
                f"{path} is not a readable checkpoint of {MODEL_ID} ({reason}); "
                "give the model.safetensors that its training exported."
            ) from None
        if eval:
            self.eval()
