"""Noise schedules: frozen lists of betas and what follows from them.

Indices count from the cleanest step, 0, to the noisiest, T - 1. A noise level is the square root of the cumulated
product of alphas = 1 - betas: how much of the signal is left, near 1 when clean and near 0 when noisy.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from tts_diffvoc.errors import DiffvocError

# Published DiffWave with T = 20 ends at 0.778 and works; linspace(1e-6, 0.01, 50), which ends at 0.88, does not.
WARN_ABOVE = 0.8
REFUSE_ABOVE = 0.95
MOST_STEPS = 10_000


@dataclass(frozen=True)
class NoiseSchedule:
    """Betas of a diffusion process, each in (0, 1), cleanest step first (Ho et al. 2020, section 2)."""

    betas: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(float(beta) for beta in self.betas))
        if not self.betas:
            raise DiffvocError("a noise schedule without steps was given; give at least one beta.")
        wrong = [beta for beta in self.betas if not 0 < beta < 1]
        if wrong:
            raise DiffvocError(f"a noise schedule has the beta {wrong[0]}; every beta must lie between 0 and 1.")

    @property
    def num_steps(self) -> int:
        return len(self.betas)

    @cached_property
    def alphas(self) -> Tensor:
        """1 - betas, float64 [T]."""
        return 1 - torch.tensor(self.betas, dtype=torch.float64)

    @cached_property
    def alphas_cumprod(self) -> Tensor:
        """Cumulated products of alphas, float64 [T]."""
        return self.alphas.cumprod(0)

    @cached_property
    def noise_levels(self) -> Tensor:
        """Square roots of ``alphas_cumprod``, float64 [T], falling."""
        return self.alphas_cumprod.sqrt()

    @cached_property
    def levels(self) -> list[float]:
        """:attr:`noise_levels` as numbers."""
        return self.noise_levels.tolist()

    @cached_property
    def _placed(self) -> dict[torch.device, Tensor]:
        return {}

    def noise_levels_on(self, device: torch.device) -> Tensor:
        """:attr:`noise_levels`, copied to ``device`` once, as each copy waits for it."""
        if device.type == "cpu":
            return self.noise_levels
        if device not in self._placed:
            with torch.inference_mode(False):  # training may use it later
                self._placed[device] = self.noise_levels.to(device)
        return self._placed[device]

    @classmethod
    def from_noise_levels(cls, levels: Sequence[float]) -> NoiseSchedule:
        """The schedule whose noise levels are ``levels``, which fall strictly within (0, 1), cleanest first."""
        levels = [float(level) for level in levels]
        above = [1.0, *levels[:-1]]
        if not levels or any(not 0 < low < high for low, high in zip(levels, above, strict=True)):
            raise DiffvocError("noise levels must fall strictly from below 1 to above 0, cleanest first.")
        return cls(tuple(1 - (low / high) ** 2 for low, high in zip(levels, above, strict=True)))

    @classmethod
    def from_dict(cls, values: Any) -> NoiseSchedule:
        """Read {"name": ...}, {"linear": [first, last, steps]}, {"log_snr": [...]} or {"betas": [...]}."""
        kinds: dict[str, Callable[[Any], NoiseSchedule]] = {
            "name": published_schedule,
            "linear": lambda given: linear_schedule(*given),
            "log_snr": lambda given: cls.log_snr(*given),
            "betas": lambda given: cls(tuple(given)),
        }
        if not isinstance(values, dict) or len(values) != 1 or not values.keys() <= kinds.keys():
            raise DiffvocError(f"a noise schedule needs one of {', '.join(kinds)}, and is {str(values)[:60]}.")
        ((kind, given),) = values.items()
        try:
            return kinds[kind](given)
        except (TypeError, ValueError, OverflowError, RuntimeError) as error:
            if isinstance(error, DiffvocError):
                raise
            raise DiffvocError(f"a noise schedule cannot be {kind}: {str(given)[:60]}; see NoiseSchedule.") from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(cls.from_dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a published or linear schedule stays readable."""
        for name, schedule in PUBLISHED.items():
            if self == schedule:
                return {"name": name}
        if self.num_steps > 1 and self == linear_schedule(self.betas[0], self.betas[-1], self.num_steps):
            return {"linear": [self.betas[0], self.betas[-1], self.num_steps]}
        cleanest, noisiest = (round(float(self.noise_levels[i]), 12) for i in (0, -1))
        if self.num_steps > 1:
            even = NoiseSchedule.log_snr(cleanest, noisiest, self.num_steps)
            if bool((self.noise_levels - even.noise_levels).abs().max() < 1e-9):
                return {"log_snr": [cleanest, noisiest, self.num_steps]}
        return {"betas": list(self.betas)}

    def check_terminal(self) -> None:
        """Warn when the noisiest level is far from noise, from which sampling starts; refuse a hopeless one."""
        last = float(self.noise_levels[-1])
        says = f"this noise schedule ends at a noise level of {last:.3f}, far from pure noise (0)"
        if last > REFUSE_ABOVE:
            raise DiffvocError(f"{says}: sampling from noise cannot work; use larger betas or more steps.")
        if last > WARN_ABOVE:
            warnings.warn(f"{says}: samples will be wrong; use larger betas or more steps.", stacklevel=2)

    @classmethod
    def log_snr(cls, cleanest: float, noisiest: float, steps: int) -> NoiseSchedule:
        """``steps`` noise levels from ``cleanest`` to ``noisiest``, evenly spaced in log-SNR.

        Even spacing of log(a / sqrt(1 - a^2)) is that of DPM-Solver (Lu et al. 2022, section 3.4).
        """
        if not 2 <= steps <= MOST_STEPS or not 0 < noisiest < cleanest < 1:
            raise DiffvocError(
                f"{steps} levels from {cleanest} to {noisiest} were asked for; give 2 to {MOST_STEPS} within (0, 1)."
            )
        first, last = (math.log(a / math.sqrt(1 - a * a)) for a in (cleanest, noisiest))
        places = [first + (last - first) * i / (steps - 1) for i in range(1, steps - 1)]
        levels = [1 / math.sqrt(1 + math.exp(-2 * place)) for place in places]
        return cls.from_noise_levels([cleanest, *levels, noisiest])

    def between(self, noise_level: float, steps: int) -> NoiseSchedule:
        """``steps`` levels from this schedule's cleanest to ``noise_level``, evenly spaced in log-SNR."""
        cleanest, noisiest = float(self.noise_levels[0]), float(self.noise_levels[-1])
        if steps < 1:
            raise DiffvocError(f"{steps} steps were asked for; give at least 1.")
        if not noisiest - 1e-9 <= noise_level < cleanest:
            raise DiffvocError(
                f"the noise level {noise_level} is outside the schedule; "
                f"give one from {noisiest:.4f} to {cleanest:.6f}."
            )
        if steps == 1:
            return NoiseSchedule.from_noise_levels([noise_level])
        return NoiseSchedule.log_snr(cleanest, noise_level, steps)

    def respace(self, steps: int) -> NoiseSchedule:
        """An inference schedule of 1 to T steps that ends at this schedule's noisiest level."""
        if not 1 <= steps <= self.num_steps:
            raise DiffvocError(f"steps={steps} does not fit the training schedule; give 1 to at most {self.num_steps}.")
        if steps == self.num_steps:
            return self
        return self.between(float(self.noise_levels[-1]), steps)


def linear_schedule(beta_min: float, beta_max: float, num_steps: int) -> NoiseSchedule:
    """``num_steps`` betas evenly spaced from ``beta_min`` to ``beta_max``."""
    if not 1 <= num_steps <= MOST_STEPS:
        raise DiffvocError(f"a schedule of {num_steps} steps was asked for; give 1 to {MOST_STEPS}.")
    return NoiseSchedule(tuple(torch.linspace(beta_min, beta_max, num_steps, dtype=torch.float64).tolist()))


def _geometric_schedule(beta_min: float, beta_max: float, num_steps: int) -> NoiseSchedule:
    betas = torch.logspace(math.log10(beta_min), math.log10(beta_max), num_steps, dtype=torch.float64)
    return NoiseSchedule(tuple(betas.tolist()))


# Training schedules of DiffWave (Kong et al. 2021, section 5.1 and appendix) and WaveGrad (Chen et al. 2021, section
# 4.3), and short ones for inference. The paper's own short WaveGrad schedules came out of a search on its data and end
# near noise: the 6-step one is in its form, a leading digit times a power of ten; 50 and 25 steps grow geometrically.
PUBLISHED: dict[str, NoiseSchedule] = {
    "diffwave-20": linear_schedule(1e-4, 0.05, 20),
    "diffwave-40": linear_schedule(1e-4, 0.05, 40),
    "diffwave-50": linear_schedule(1e-4, 0.05, 50),
    "diffwave-200": linear_schedule(1e-4, 0.02, 200),
    "wavegrad-1000": linear_schedule(1e-6, 0.01, 1000),
    "diffwave-fast-6": NoiseSchedule((1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5)),
    "wavegrad-6": NoiseSchedule((7e-6, 1.4e-4, 2.1e-3, 2.8e-2, 3.5e-1, 7e-1)),
    "wavegrad-50": _geometric_schedule(1e-6, 0.4, 50),
    "wavegrad-25": _geometric_schedule(1e-6, 0.7, 25),
}


def published_schedule(name: str) -> NoiseSchedule:
    """A schedule by name, see ``PUBLISHED``; DiffvocError names the choices for an unknown one."""
    if name not in PUBLISHED:
        raise DiffvocError(f"no schedule is called {name!r}; choose one of {', '.join(PUBLISHED)}.")
    return PUBLISHED[name]


def fractional_step(schedule: NoiseSchedule, noise_level: Tensor) -> Tensor:
    """Where ``noise_level`` [B] lies among the training levels: float32 [B], counted from 0.

    Between two neighbouring levels the step is interpolated linearly, which aligns the levels of a short
    inference schedule with training (Kong et al. 2021, appendix B).

    Raises: DiffvocError for a level outside the training range, on a CPU: elsewhere it would have to be waited for, and
        the nearest level is taken.
    """
    levels = schedule.noise_levels_on(noise_level.device)
    wanted = noise_level.double()
    slack = 1e-6
    outside = (wanted > levels[0] + slack) | (wanted < levels[-1] - slack)
    if wanted.device.type == "cpu" and not torch.compiler.is_compiling() and bool(outside.any()):
        raise DiffvocError(
            f"a noise level of {float(wanted[(wanted - levels[0]).abs().argmax()]):.6f} is outside the training range, "
            f"{float(levels[-1]):.6f} to {float(levels[0]):.6f}; use an inference schedule within it."
        )
    steps = (levels[:-1] - wanted.unsqueeze(1)) / (levels[:-1] - levels[1:])
    return steps.clamp(0, 1).sum(1).float()  # those passed, and the share of the one that is not
