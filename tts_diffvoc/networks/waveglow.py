"""WaveGlow (Prenger et al. 2019, "WaveGlow: A Flow-based Generative Network for Speech Synthesis").

B is the batch, T the samples of a clip, F its mel frames, M the mel bands, G the samples of a group, P = T / G the
positions, C the channels of a coupling network. The state-dict layout is that of NVIDIA's published network with
weight normalisation multiplied out; :func:`published_weights` brings other layouts to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.schema import Depth, FromJson, Octaves, Width


@dataclass(frozen=True)
class WaveGlowConfig(FromJson):
    """Sizes of a WaveGlow network; the defaults are NVIDIA's (the paper has 512 channels, section 3.2).

    ``early_size`` channels leave before every ``early_every``-th flow, the first one excepted (section 2.3).
    ``upsample_window`` is the kernel of the transposed convolution that brings the mel to the signal's rate.
    """

    n_mels: Width = 80
    flows: Depth = 12
    group: Width = 8
    early_every: Depth = 4
    early_size: Width = 2
    layers: Octaves = 8
    channels: Width = 256
    kernel_size: Depth = 3
    hop_length: Width = 256
    upsample_window: Width = 1024

    def __post_init__(self) -> None:
        if self.kernel_size % 2 == 0 or self.upsample_window < self.hop_length or self.hop_length % self.group:
            raise DiffvocError(
                f"{self} cannot be built; the kernel size must be odd, the upsampling window at least the hop, and the "
                "hop a multiple of the group."
            )
        if any(width < 2 or width % 2 for width in self.widths):
            raise DiffvocError(f"{self} leaves {list(self.widths)} channels to its flows; each number must be even.")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels that each flow works on."""
        return tuple(self.group - self.early_size * (k // self.early_every) for k in range(self.flows))

    @property
    def reach(self) -> int:
        """Samples of noise on either side on which one of the waveform depends."""
        return self.group * self.flows * (self.kernel_size // 2) * (2**self.layers - 1)

    def leaves_early(self, flow: int) -> bool:
        """Whether ``early_size`` channels leave before ``flow``."""
        return flow > 0 and flow % self.early_every == 0


class InvertibleConv(nn.Module):
    """A matrix W that mixes channels, orthogonal at first (section 2.2, equations 10 and 11)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 1, bias=False)
        nn.init.orthogonal_(self.conv.weight)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, channels, P] to W x, and log |det W| of one position, a scalar."""
        return self.conv(x), torch.linalg.slogdet(self.conv.weight[:, :, 0].double())[1].to(x.dtype)

    def inverse(self, x: Tensor) -> Tensor:
        """x [B, channels, P] to W^-1 x; the matrix is inverted in float64; a singular one makes NaN."""
        inverse = torch.linalg.inv_ex(self.conv.weight[:, :, 0].double())[0].to(x.dtype)
        return F.conv1d(x, inverse.unsqueeze(-1))


class CouplingNetwork(nn.Module):
    """WN of the paper: gated dilated convolutions, not causal, conditioned on the mel (section 2.1, equation 6)."""

    def __init__(self, inputs: int, config: WaveGlowConfig) -> None:
        super().__init__()
        self.channels = config.channels
        last = config.layers - 1
        self.start = nn.Conv1d(inputs, config.channels, 1)
        self.cond_layer = nn.Conv1d(config.n_mels * config.group, 2 * config.channels * config.layers, 1)
        self.in_layers = nn.ModuleList(
            nn.Conv1d(
                config.channels,
                2 * config.channels,
                config.kernel_size,
                dilation=2**i,
                padding=2**i * (config.kernel_size // 2),
            )
            for i in range(config.layers)
        )
        self.res_skip_layers = nn.ModuleList(
            nn.Conv1d(config.channels, config.channels * (1 if i == last else 2), 1) for i in range(config.layers)
        )
        self.end = nn.Conv1d(config.channels, 2 * inputs, 1)
        # The coupling changes nothing at first.
        nn.init.zeros_(self.end.weight)
        assert self.end.bias is not None
        nn.init.zeros_(self.end.bias)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, inputs, P] and the grouped mel [B, M G, P] to log s and t of equation 6, [B, inputs, P] each."""
        h = self.start(x)
        weights = self.cond_layer.weight.chunk(len(self.in_layers))
        assert self.cond_layer.bias is not None
        biases = self.cond_layer.bias.chunk(len(self.in_layers))
        skips: Tensor | None = None
        for layer, res_skip, weight, bias in zip(self.in_layers, self.res_skip_layers, weights, biases):
            value, gate = (layer(h) + F.conv1d(condition, weight, bias)).chunk(2, dim=1)
            out = res_skip(value.tanh() * gate.sigmoid())
            skip = out[:, -self.channels :]
            if out.shape[1] > self.channels:
                h = h + out[:, : self.channels]
            skips = skip if skips is None else skips + skip
        assert skips is not None
        shift, log_scale = self.end(skips).chunk(2, dim=1)
        return log_scale, shift


class WaveGlow(nn.Module):
    """An invertible network between a waveform, given its mel, and white noise."""

    def __init__(self, config: WaveGlowConfig) -> None:
        super().__init__()
        self.config = config
        self.upsample = nn.ConvTranspose1d(config.n_mels, config.n_mels, config.upsample_window, config.hop_length)
        self.convinv = nn.ModuleList(InvertibleConv(width) for width in config.widths)
        self.WN = nn.ModuleList(CouplingNetwork(width // 2, config) for width in config.widths)

    def condition(self, mel: Tensor) -> Tensor:
        """Log-mel [B, M, F] to what every flow sees, [B, M G, F hop / G]: once an utterance."""
        length = mel.shape[2] * self.config.hop_length
        upsampled = self.upsample(mel)[:, :, :length]
        grouped = upsampled.unflatten(2, (-1, self.config.group))
        return grouped.permute(0, 1, 3, 2).flatten(1, 2)

    def forward(self, waveform: Tensor, mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """From data to noise (equations 4 to 11).

        Args:
            waveform: [B, T], T a multiple of the group and at most F * hop.
            mel: log-mel [B, M, F].

        Returns: z [B, G, P]; the sum of log s over all couplings [B]; the sum of log |det W| over all flows and
            positions, a scalar that every clip of the batch has.
        Raises: DiffvocError for lengths that do not fit.
        """
        length, group = waveform.shape[1], self.config.group
        if length % group or length > mel.shape[2] * self.config.hop_length or not length:
            raise DiffvocError(
                f"a waveform of {length} samples does not go with {mel.shape[2]} mel frames; give a multiple of "
                f"{group}, at most {mel.shape[2] * self.config.hop_length}."
            )
        condition = self.condition(mel)[:, :, : length // group]
        x = waveform.unflatten(1, (-1, group)).transpose(1, 2)
        left: list[Tensor] = []
        log_s = x.new_zeros(x.shape[0])
        log_det = x.new_zeros(())
        for k, (mix, couple) in enumerate(zip(self.convinv, self.WN)):
            if self.config.leaves_early(k):
                left.append(x[:, : self.config.early_size])
                x = x[:, self.config.early_size :]
            x, one = mix(x)
            log_det = log_det + one * x.shape[2]
            kept, changed = x.chunk(2, dim=1)
            log_scale, shift = couple(kept, condition)
            x = torch.cat([kept, changed * log_scale.exp() + shift], dim=1)
            log_s = log_s + log_scale.sum((1, 2))
        return torch.cat([*left, x], dim=1), log_s, log_det

    def inverse(self, mel: Tensor, z: Tensor) -> Tensor:
        """From noise to data (section 2.4).

        Args:
            mel: log-mel [B, M, F].
            z: noise [B, G, P], as :meth:`forward` returns it; of a deviation below that of training (1) it makes less
                noisy speech.

        Returns: the waveform [B, P * G].
        """
        condition = self.condition(mel)[:, :, : z.shape[2]]
        early = self.config.group - self.config.widths[-1]
        left, x = z[:, :early], z[:, early:]
        flows = list(zip(self.convinv, self.WN))
        for k in reversed(range(self.config.flows)):
            mix, couple = cast("tuple[InvertibleConv, CouplingNetwork]", flows[k])
            kept, changed = x.chunk(2, dim=1)
            log_scale, shift = couple(kept, condition)
            x = mix.inverse(torch.cat([kept, (changed - shift) * (-log_scale).exp()], dim=1))
            if self.config.leaves_early(k):
                x = torch.cat([left[:, -self.config.early_size :], x], dim=1)
                left = left[:, : -self.config.early_size]
        return x.transpose(1, 2).flatten(1)


def log_likelihood(z: Tensor, log_s: Tensor, log_det: Tensor, sigma: float = 1.0) -> Tensor:
    """Exact log-density [B], in nats, of the waveforms of which :meth:`WaveGlow.forward` makes z, log_s and log_det.

    Equation 12 with its constant: -z.z / (2 sigma^2) - T / 2 log(2 pi sigma^2) + sum log s + sum log |det W|.
    """
    constant = 0.5 * z[0].numel() * math.log(2 * math.pi * sigma**2)
    return log_s + log_det - z.square().sum((1, 2)) / (2 * sigma**2) - constant


def fold_weight_norm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every weight normalisation (Salimans and Kingma 2016, equation 2) multiplied out: w = g v / |v|.

    Both of torch's layouts are known: ``weight_g`` and ``weight_v``, and ``parametrizations.weight.original0`` and 1.

    Raises: DiffvocError when one of the two is missing.
    """
    folded = dict(weights)
    layouts = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))
    for pair in layouts:
        ends = tuple(f".{name}" for name in pair)
        stems = {name.removesuffix(end) for name in weights for end in ends if name.endswith(end)}
        for stem in sorted(stems):
            absent = [stem + end for end in ends if stem + end not in folded]
            if absent:
                raise DiffvocError(f"the weight {absent[0]} is missing; a normalised weight needs both of its parts.")
            g, v = (folded.pop(stem + end).double() for end in ends)
            length = v.flatten(1).norm(dim=1).reshape(-1, *[1] * (v.dim() - 1))
            folded[f"{stem}.weight"] = (g.reshape(length.shape) * v / length).float()
    return folded


def published_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """NVIDIA's published state dict, normalised or not, as :class:`WaveGlow` names its weights.

    Until 2018 each layer had a convolution of the mel of its own, ``cond_layers``; here they are one, ``cond_layer``.

    Raises: DiffvocError for the oldest layout, whose couplings take turns.
    """
    weights = fold_weight_norm({name: value for name, value in state.items() if not name.endswith(".W_inverse")})
    if any(".skip_layers." in name for name in weights):
        raise DiffvocError(
            "these weights are of WaveGlow's oldest layout, with separate skip_layers; convert them with "
            "convert_model.py of NVIDIA's repository first."
        )
    for k in sorted({name.split(".")[1] for name in weights if ".cond_layers." in name}):
        for leaf in ("weight", "bias"):
            parts: list[Tensor] = []
            while f"WN.{k}.cond_layers.{len(parts)}.{leaf}" in weights:
                parts.append(weights.pop(f"WN.{k}.cond_layers.{len(parts)}.{leaf}"))
            if parts:
                weights[f"WN.{k}.cond_layer.{leaf}"] = torch.cat(parts)
    return weights


@torch.no_grad()
def bias_spectrum(network: WaveGlow, n_fft: int = 1024, frames: int = 88) -> Tensor:
    """Magnitudes [n_fft // 2 + 1] of the tone that ``network`` leaves in everything.

    It is what a mel of zeros and noise of zeros give, as in NVIDIA's denoiser.
    """
    config, zeros = network.config, network.upsample.weight.new_zeros
    positions = frames * config.hop_length // config.group
    waveform = network.inverse(zeros(1, config.n_mels, frames), zeros(1, config.group, positions))
    return _stft(waveform, n_fft).abs()[0, :, 0]


@torch.no_grad()
def denoise(waveform: Tensor, bias: Tensor, strength: float = 0.1) -> Tensor:
    """Take ``strength`` times ``bias``, from :func:`bias_spectrum`, off the magnitudes of ``waveform`` [B, T].

    Returns: [B, T]; phases stay, magnitudes stop at zero.
    """
    n_fft = 2 * (len(bias) - 1)
    spectrum = _stft(waveform, n_fft)
    magnitude = spectrum.abs()
    kept = (magnitude - strength * bias.unsqueeze(-1)).clamp_min(0.0)
    window = torch.hann_window(n_fft, device=waveform.device, dtype=waveform.dtype)
    spectrum = torch.polar(kept, spectrum.angle())
    return torch.istft(spectrum, n_fft, n_fft // 4, n_fft, window, length=waveform.shape[1])


def _stft(waveform: Tensor, n_fft: int) -> Tensor:
    window = torch.hann_window(n_fft, device=waveform.device, dtype=waveform.dtype)
    return torch.stft(waveform, n_fft, n_fft // 4, n_fft, window, pad_mode="reflect", return_complex=True)
