"""The acoustic model of the bundled voices: symbols of `tts_diffvoc.english` to the vocoders' log-mel.

FastPitch (Lancucki 2021) with ConvNeXt blocks (Liu et al. 2022), taught by a synthesiser that tells its durations and
pitch, so that nothing has to be aligned. Unlike FastPitch it predicts pitch, voicing and energy for each mel frame,
durations in fractions of a frame, and shows the decoder the mel spectrum that harmonics at the pitch would have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tts_diffvoc.english.symbols import GAP, SYMBOL_IDS, SYMBOLS
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, mel_filters
from tts_diffvoc.schema import Depth, FromJson, Width

F0_MIN, F0_MAX, F0_REFERENCE = 50.0, 600.0, 150.0
ENERGY_MEAN, ENERGY_STD = -5.0, 2.0
WORD_PLACES = 8
MOST_WEIGHTS = 1 << 30
DROPOUT = 0.05  # of durations and prosody, which are overfitted long before mels are; half of it in the encoder
LAST = 14.0  # frames of silence that end an utterance at most; the teachers leave 40


@dataclass(frozen=True)
class AcousticConfig(FromJson):
    """Sizes of the acoustic model; the defaults are those of the bundled voices."""

    channels: Width = 256
    encoder_blocks: Depth = 5
    prosody_channels: Width = 160
    prosody_blocks: Depth = 4
    decoder_blocks: Depth = 6
    kernel_size: Depth = 7
    widening: Depth = 3
    mel: MelConfig = field(default_factory=MelConfig)

    def __post_init__(self) -> None:
        dense = (self.encoder_blocks + self.decoder_blocks) * self.channels**2
        weights = 2 * self.widening * (dense + self.prosody_blocks * self.prosody_channels**2)
        if weights > MOST_WEIGHTS or self.kernel_size % 2 == 0:
            raise DiffvocError(
                f"{self} has about {weights:,} weights and kernels of {self.kernel_size}; give up to "
                f"{MOST_WEIGHTS:,}, and an odd kernel."
            )


class ConvNeXt(nn.Module):
    """Residual blocks of a depthwise convolution, layer norm and two dense layers (Liu et al. 2022), along time."""

    def __init__(self, channels: int, blocks: int, kernel_size: int, widening: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.depthwise = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels) for _ in range(blocks)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(blocks))
        self.widen = nn.ModuleList(nn.Linear(channels, widening * channels) for _ in range(blocks))
        self.narrow = nn.ModuleList(nn.Linear(widening * channels, channels) for _ in range(blocks))
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, T, C] and its mask [B, T, 1] -> [B, T, C]."""
        for depthwise, norm, widen, narrow in zip(self.depthwise, self.norms, self.widen, self.narrow):
            y = depthwise((x * mask).transpose(1, 2)).transpose(1, 2)
            hidden = F.gelu(widen(norm(y)), approximate="tanh")
            x = x + narrow(F.dropout(hidden, self.dropout, self.training))
        return self.norm(x) * mask


def word_places(symbols: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """For each symbol [B, T] the number of symbols to its word's start and to its end, at most WORD_PLACES - 1.

    Gaps and the ends of rows, of `lengths` [B], bound words.
    """
    index = torch.arange(symbols.shape[1], device=symbols.device).expand_as(symbols)
    gap = symbols == SYMBOL_IDS[GAP]
    start = torch.where(gap, index, -1).cummax(1).values
    end = torch.where(gap, index, lengths[:, None]).flip(1).cummin(1).values.flip(1)
    return (index - start).clamp(0, WORD_PLACES - 1), (end - index).clamp(0, WORD_PLACES - 1)


def expand(x: Tensor, durations: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Repeat each symbol over the frames that start while it lasts.

    Args:
        x: [B, T, C].
        durations: frames of each symbol [B, T], fractions too.
        frames: mel frames F of the longest row.

    Returns: [B, F, C], and the place of each frame in its symbol [B, F, 3]: the share that is over, and the frames
    since its start and to its end, in tens.
    """
    ends = durations.cumsum(1)
    time = torch.arange(frames, device=x.device, dtype=durations.dtype).expand(len(x), -1).contiguous()
    index = torch.searchsorted(ends, time, right=True).clamp_max(x.shape[1] - 1)
    end, length = ends.gather(1, index), durations.gather(1, index)
    since = time - (end - length)
    place = torch.stack([since / length.clamp_min(1), since / 10, (end - time) / 10], 2).clamp(-2, 5)
    return x.gather(1, index.unsqueeze(2).expand(-1, -1, x.shape[2])), place


def harmonic_mels(config: MelConfig, steps: int = 512) -> Tensor:
    """Log-mel of a voice of flat spectrum at `steps` F0 from F0_MIN to F0_MAX, evenly spaced in octaves [steps, M].

    Each band is centred, so that bands too wide to resolve harmonics are zero.
    """
    f0 = F0_MIN * (F0_MAX / F0_MIN) ** (torch.arange(steps, dtype=torch.float64) / (steps - 1))
    harmonics = f0[:, None] * torch.arange(1, int(config.fmax / F0_MIN) + 1)
    amplitude = (harmonics < config.fmax).double()
    place = (harmonics * config.n_fft / config.sample_rate).unsqueeze(2)  # in bins
    bins = place.floor().long() + torch.arange(-1, 3)  # those that a harmonic reaches
    reached = amplitude.unsqueeze(2) * _hann_spectrum(bins - place).square() * (bins <= config.n_fft // 2)
    power = torch.zeros(steps, config.n_fft // 2 + 1, dtype=torch.float64)
    power.scatter_add_(1, bins.clamp_max(config.n_fft // 2).flatten(1), reached.flatten(1))
    log_mel = (power.sqrt() @ mel_filters(config).double().T + 1e-5).log()
    return (log_mel - log_mel.mean(0)).float()


def _hann_spectrum(distance: Tensor) -> Tensor:
    """Magnitude of a Hann window's spectrum at a distance in bins: 1 at the centre, 0 from the second bin on."""
    near = distance.abs().clamp(1e-6, 2 - 1e-6)
    return (torch.sinc(near) / (1 - near.square() + 1e-9)).abs() * (distance.abs() < 2)


class AcousticModel(nn.Module):
    """Symbols to durations, prosody and log-mel."""

    mel_mean: Tensor
    mel_std: Tensor
    harmonics: Tensor

    def __init__(self, config: AcousticConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AcousticConfig()
        channels, kernel, widening = config.channels, config.kernel_size, config.widening
        self.symbol = nn.Embedding(len(SYMBOLS), channels)
        self.word_start = nn.Embedding(WORD_PLACES, channels)
        self.word_end = nn.Embedding(WORD_PLACES, channels)
        self.encoder = ConvNeXt(channels, config.encoder_blocks, kernel, widening, DROPOUT / 2)
        self.sentence = nn.GRU(channels, channels // 2, batch_first=True, bidirectional=True)
        self.duration = ConvNeXt(channels, 1, kernel, widening, DROPOUT)
        self.duration_out = nn.Linear(channels, 1)
        self.prosody_in = nn.Linear(channels + 3, config.prosody_channels)
        self.prosody = ConvNeXt(config.prosody_channels, config.prosody_blocks, 11, widening, DROPOUT)
        self.prosody_out = nn.Linear(config.prosody_channels, 3)
        self.decoder_in = nn.Linear(channels + 3 + config.mel.n_mels + 3, channels)
        self.decoder = ConvNeXt(channels, config.decoder_blocks, kernel, widening)
        self.mel_out = nn.Linear(channels, config.mel.n_mels)
        # Mean and deviation of each band over the training set: the network's part is near unit size.
        self.register_buffer("mel_mean", torch.full((config.mel.n_mels,), -5.0))
        self.register_buffer("mel_std", torch.full((config.mel.n_mels,), 2.0))
        self.register_buffer("harmonics", harmonic_mels(config.mel), persistent=False)
        for embedding in (self.symbol, self.word_start, self.word_end):
            nn.init.normal_(embedding.weight, std=0.3)

    def encode(self, symbols: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Symbols [B, T] -> hidden [B, T, C] and durations in mel frames [B, T], 0 beyond `lengths` [B]."""
        mask = (torch.arange(symbols.shape[1], device=symbols.device) < lengths[:, None]).unsqueeze(2)
        start, end = word_places(symbols, lengths)
        x = self.symbol(symbols) + self.word_start(start) + self.word_end(end)
        x = self.encoder(x, mask.to(x.dtype))
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        context, _ = nn.utils.rnn.pad_packed_sequence(
            self.sentence(packed)[0], batch_first=True, total_length=symbols.shape[1]
        )
        x = x + context
        log_duration = self.duration_out(self.duration(x, mask.to(x.dtype)))
        return x, (log_duration.float().clamp(max=6).exp() * mask).squeeze(2)

    def predict_prosody(self, x: Tensor, place: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frames [B, F, C] -> F0 in octaves above F0_REFERENCE, logit of voicing, normalised energy, each [B, F]."""
        y = self.prosody_in(torch.cat([x, place.to(x.dtype)], 2))
        octaves, voicing, energy = self.prosody_out(self.prosody(y, mask.to(x.dtype))).float().unbind(2)
        return octaves, voicing, energy

    def decode(self, x: Tensor, place: Tensor, octaves: Tensor, voiced: Tensor, energy: Tensor, mask: Tensor) -> Tensor:
        """Frames [B, F, C] and their prosody, each [B, F] -> log-mel [B, F, M]."""
        harmonics = self._harmonics(octaves) * voiced.unsqueeze(2)
        prosody = torch.stack([octaves * voiced, voiced, energy], 2)
        y = self.decoder_in(torch.cat([x, place, harmonics, prosody], 2).to(x.dtype))
        return self.mel_out(self.decoder(y, mask.to(x.dtype))).float() * self.mel_std + self.mel_mean

    def _harmonics(self, octaves: Tensor) -> Tensor:
        """Log-mel of harmonics at an F0 [B, F] in octaves above F0_REFERENCE, [B, F, M]."""
        last = len(self.harmonics) - 1
        place = (octaves - math.log2(F0_MIN / F0_REFERENCE)) / math.log2(F0_MAX / F0_MIN) * last
        low = place.clamp(0, last - 1).floor()
        share = (place - low).clamp(0, 1).unsqueeze(2)
        index = low.long()
        return torch.lerp(self.harmonics[index], self.harmonics[index + 1], share)

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Errors against the teacher.

        Args:
            batch: `symbols` [B, T], `lengths` [B] and `durations` [B, T] in frames; and of the first S of these rows,
                or of all, `mel` [S, F, M], `frames` [S] and `f0` [S, F] in Hz, 0 where unvoiced.

        Returns: the sum "loss", and its parts: mean absolute error of the mel, of log durations, of F0 in octaves
        where voiced and of normalised energy, and the cross-entropy of voicing.
        """
        mel, f0, durations = batch["mel"], batch["f0"], batch["durations"]
        hidden, predicted = self.encode(batch["symbols"], batch["lengths"])
        x, place = expand(hidden[: len(mel)], durations[: len(mel)], mel.shape[1])
        mask = (torch.arange(mel.shape[1], device=mel.device) < batch["frames"][:, None]).unsqueeze(2)
        octaves, voicing, energy = self.predict_prosody(x, place, mask)
        voiced = (f0 > 0).float()
        true_octaves = (f0.clamp_min(F0_MIN) / F0_REFERENCE).log2()
        true_energy = (mel.mean(2) - ENERGY_MEAN) / ENERGY_STD
        # A quarter of the rows are decoded from the model's own prosody, as all will be in use.
        own = torch.rand(len(mel), 1, device=mel.device) < 0.25
        output = self.decode(
            x,
            place,
            torch.where(own, octaves.detach(), true_octaves),
            torch.where(own, (voicing.detach() > 0).float(), voiced),
            torch.where(own, energy.detach(), true_energy),
            mask,
        )
        weight = mask.squeeze(2).float()
        said = batch["durations"] > 0
        parts = {
            "mel": _mean((output - mel).abs().mean(2), weight),
            "duration": _mean((predicted.clamp_min(0.1).log() - durations.clamp_min(0.1).log()).abs(), said.float()),
            "f0": _mean((octaves - true_octaves).abs(), weight * voiced),
            "voicing": _mean(F.binary_cross_entropy_with_logits(voicing, voiced, reduction="none"), weight),
            "energy": _mean((energy - true_energy).abs(), weight),
        }
        loss = parts["mel"] + 0.5 * parts["duration"] + parts["f0"] + 0.2 * parts["voicing"] + 0.2 * parts["energy"]
        return {"loss": loss, **parts}

    @torch.inference_mode(False)
    @torch.no_grad()
    def generate(
        self, symbols: Tensor, lengths: Tensor | None = None, *, speed: float = 1.0, semitones: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Symbols [B, T] to speech.

        Args:
            symbols: numbers of `tts_diffvoc.english.symbols.SYMBOLS`.
            lengths: symbols of each row [B]; all of them by default.
            speed: 2 is twice as fast.
            semitones: added to the pitch.

        Returns: log-mel [B, M, F], frames of each row [B], durations [B, T] in frames.
        """
        if not 0.25 <= speed <= 4:
            raise DiffvocError(f"a speed of {speed} was asked for; give one from 0.25 to 4.")
        if not -12 <= semitones <= 12:
            raise DiffvocError(f"a pitch of {semitones} semitones was asked for; give one from -12 to 12.")
        lengths = lengths if lengths is not None else symbols.new_full((len(symbols),), symbols.shape[1])
        hidden, durations = self.encode(symbols, lengths)
        last = (lengths - 1)[:, None]
        durations = durations.scatter(1, last, durations.gather(1, last).clamp_max(LAST)) / speed
        frames = durations.sum(1).ceil().long().clamp_min(1)
        x, place = expand(hidden, durations, int(frames.max()))
        mask = (torch.arange(x.shape[1], device=x.device) < frames[:, None]).unsqueeze(2)
        return self.decode_frames(x, place, mask, semitones=semitones).transpose(1, 2), frames, durations

    def decode_frames(
        self, x: Tensor, place: Tensor, mask: Tensor, *, semitones: float = 0.0, f0: Tensor | None = None
    ) -> Tensor:
        """Frames [B, F, C] -> log-mel [B, F, M] at the model's own F0 or at a given one, [B, F] in Hz, 0 unvoiced."""
        octaves, voicing, energy = self.predict_prosody(x, place, mask)
        voiced = voicing > 0
        if f0 is not None:
            octaves, voiced = (f0.clamp_min(F0_MIN) / F0_REFERENCE).log2(), f0 > 0
        return self.decode(x, place, octaves + semitones / 12, voiced.float(), energy, mask)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1)
