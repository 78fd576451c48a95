"""Training any system of the benchmark: a budget of minutes or steps, taken up again where it stopped.

A baseline's steps are Coqui's (``GAN.train_step``, ``Wavernn.train_step``, their losses), those of our vocoders are
their own (``ours.py``); the loop is one for all. Coqui's Trainer counts epochs, and knows neither a budget in minutes
nor a discriminator that joins in after a share of it; its recipes fix the networks' sizes; and its checkpoints are
pickles. All systems here get the same crops, budget and seeds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel, stft
from tts_diffvoc.training.corpus import Recording
from tts_diffvoc.training.crops import CropBatches, CropKey, change_gain, read_clip
from tts_diffvoc_eval.baselines import catalogue, learners, ours
from tts_diffvoc_eval.baselines.mels import CONTRACT

CHECKPOINT = "checkpoint.pt"
RESULT = "vocoder"
QUARTERS = 4
SAVES = 10  # checkpoints in a budget
SHORT_PIECES = (10, 2)  # frames that WaveRNN generates side by side, and their run-up, to be quick in validation
TOLD_EVERY = 10.0  # seconds between two lines of progress
HOP = CONTRACT.hop_length


@dataclass
class Budget:
    """So many minutes of training steps, or so many steps; what is validated, saved and loaded does not count.

    On a CPU they are minutes of this process's own computing, divided by its threads, so that what else the machine
    does costs a system nothing; on a GPU they are minutes on the clock.

    Attributes:
        minutes, steps: exactly one is given.
        spent: seconds used so far, by earlier calls too.
        done: steps so far.
    """

    minutes: float | None = None
    steps: int | None = None
    spent: float = 0.0
    done: int = 0

    def __post_init__(self) -> None:
        given = [value for value in (self.minutes, self.steps) if value is not None]
        if len(given) != 1 or not 0 < given[0] < math.inf:
            raise DiffvocError(
                f"the budget is {self.minutes} minutes and {self.steps} steps; give one of them, above zero."
            )

    @property
    def share(self) -> float:
        """How much is used up; 1 and more is all."""
        return self.done / self.steps if self.steps else self.spent / (60 * float(self.minutes or 0))

    def left(self) -> float:
        """Seconds to the end at the speed so far."""
        return self.spent * max(0.0, 1 / max(self.share, 1e-9) - 1)


@dataclass(frozen=True)
class Score:
    """How a generator did on held-back clips after ``steps`` and ``minutes``.

    ``mel_l1`` is the mean absolute difference of log-mels, in nepers, which says little of a vocoder that corrects its
    mel at the end; ``nats`` WaveRNN's cross-entropy a sample, else None; ``stft_l1`` the mean absolute difference of
    log magnitudes of the short-time spectrum, in nepers, those below 1e-3 taken as that.
    """

    steps: int
    minutes: float
    mel_l1: float
    nats: float | None = None
    stft_l1: float | None = None

    def __str__(self) -> str:
        also = "" if self.stft_l1 is None else f", log-STFT L1 {self.stft_l1:.3f}"
        also += "" if self.nats is None else f", {self.nats:.3f} nats a sample"
        return f"held back: log-mel L1 {self.mel_l1:.3f}{also}"


@dataclass(frozen=True)
class Result:
    """What a training left: the folder of the last generator, its scores from the first on, steps and minutes.

    ``parameters`` are the numbers that synthesis needs.
    """

    folder: Path
    scores: list[Score]
    steps: int
    minutes: float
    parameters: int


@dataclass
class Clips:
    """Recordings in memory on the device that trains, 0.5 GB an hour: their waveforms [T] and log-mels [M, F]."""

    waveforms: list[Tensor] = field(default_factory=list)
    mels: list[Tensor] = field(default_factory=list)

    @classmethod
    def read(cls, recordings: Sequence[Recording], least: int, device: torch.device) -> Clips:
        """Read them, those shorter than ``least`` frames filled up with silence."""
        clips = cls()
        for recording in recordings:
            waveform, mel = read_clip(recording, CONTRACT)
            missing = max(0, least - mel.shape[1])
            waveform = torch.nn.functional.pad(waveform, (0, missing * HOP))
            mel = torch.nn.functional.pad(mel, (0, missing), value=math.log(CONTRACT.floor))
            clips.waveforms.append(waveform.to(device))
            clips.mels.append(mel.to(device))
        return clips

    @property
    def lengths(self) -> list[int]:
        return [mel.shape[1] for mel in self.mels]

    def cut(self, keys: Sequence[CropKey], frames: int) -> tuple[Tensor, Tensor]:
        """Waveforms [B, frames * hop] and mels [B, M, frames] of crops."""
        waveforms = [self.waveforms[k.clip][k.start * HOP : (k.start + frames) * HOP] for k in keys]
        mels = [self.mels[k.clip][:, k.start : k.start + frames] for k in keys]
        return torch.stack(waveforms), torch.stack(mels)

    def levels(self) -> MelConfig:
        """The contract with each band scaled to mean 0 and deviation 1 over these clips."""
        everything = torch.cat(self.mels, dim=1).double()
        mean, deviation = everything.mean(1), everything.std(1).clamp_min(0.1)
        return MelConfig(scale=tuple((1 / deviation).tolist()), shift=tuple((-mean / deviation).tolist()))


@dataclass(frozen=True)
class Settings:
    """What must stay the same when a training is taken up again."""

    name: str
    size: str
    seed: int
    batch: int
    frames: int
    gain_db: float
    bf16: bool


def train(
    name: str,
    recordings: Sequence[Recording],
    held: Sequence[Recording],
    output: str | Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    size: str = "small",
    device: str | torch.device = "cpu",
    seed: int = 0,
    batch: int | None = None,
    frames: int | None = None,
    gain_db: float = 0.0,
    bf16: bool = False,
    compiled: bool = False,
    keep_quarters: bool = False,
    estimator: str | Path | None = None,
    data: str = "not said",
    tell: Callable[[str], None] = print,
) -> Result:
    """Train a system, or go on with what lies in ``output``, and write the generator to ``output/vocoder``.

    Args:
        name: of the catalogue, or one of ours.
        recordings: to train on; they are held in memory on the device.
        held: recordings to validate on, at the beginning and after each quarter of the budget: their first two
            seconds, eight at most, with one seed.
        output: the run's folder.
        minutes, steps: the budget in all, one of them; more than before goes on with a finished run.
        size: "published" or "small".
        device: to train on.
        seed: of weights, crops and noise.
        batch, frames: crops a step and mel frames of one, instead of the system's own.
        gain_db: each crop is made louder or softer by up to this many decibels, as in training our own vocoders.
        bf16: compute the networks in bfloat16, WaveRNN's excepted.
        compiled: let ``torch.compile`` make the networks of our vocoders faster; compiling does not count as training.
        keep_quarters: keep the generator after each quarter but the last, too, in ``output/quarter-1`` to ``-3``.
        estimator: a vocoder of ours, whose magnitude network an ablation begins with.
        data: what the recordings are, for the model card; names, no paths.
        tell: called with lines of progress.

    Raises: DiffvocError for bad settings, a checkpoint of another run, or a loss that is no number any more;
    KeyboardInterrupt after saving.
    """
    variant = sized(find(name), size, batch, frames)
    settings = Settings(name, size, seed, variant.batch, variant.frames, gain_db, bf16)
    run = Run(settings, variant, Budget(minutes, steps), Path(output), checked_device(device), data, tell)
    with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []):
        run.begin(recordings, held, estimator)
        if compiled and run.budget.share < 1:
            run.compile()
        run.go_on(keep_quarters)
    return Result(run.output / RESULT, run.scores, run.budget.done, run.budget.spent / 60, run.finished().parameters)


def find(name: str) -> catalogue.System:
    """A system of ours, an ablation or one of the catalogue; DiffvocError for an unknown name."""
    own = {**ours.SYSTEMS, **ours.ABLATIONS}
    return own[name] if name in own else catalogue.system(name)


def learner_of(one: catalogue.System) -> type[learners.Learner]:
    """What trains systems of this kind."""
    return ours.LEARNERS[one.kind] if one.kind in ours.LEARNERS else learners.of(one)


def sized(one: catalogue.System, size: str, batch: int | None, frames: int | None) -> catalogue.Variant:
    """A size of a system with other crops; DiffvocError for crops too small for its losses."""
    variant = one.variant(size)
    changes = {"batch": batch, "frames": frames}
    variant = replace(variant, **{name: value for name, value in changes.items() if value is not None})
    least = 2 if one.kind == "wavernn" else 8
    if variant.batch < 1 or variant.frames < least:
        raise DiffvocError(
            f"{variant.batch} crops of {variant.frames} frames were asked for; {one.label} needs at least 1 of {least}."
        )
    return variant


def checked_device(device: str | torch.device) -> torch.device:
    """Raises: DiffvocError for a device that is not here."""
    try:
        found = torch.device(device)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError):
        raise DiffvocError(f"there is no device {device!r} here; use cpu, or cuda where there is a GPU.") from None
    return found


class Run:
    """One training; :func:`train` says what it takes."""

    def __init__(
        self,
        settings: Settings,
        variant: catalogue.Variant,
        budget: Budget,
        output: Path,
        device: torch.device,
        data: str,
        tell: Callable[[str], None],
    ) -> None:
        self.settings, self.variant, self.budget, self.output = settings, variant, budget, output
        self.device, self.data, self.tell = device, data, tell
        self.system = find(settings.name)
        self.scores: list[Score] = []
        self.loss = torch.zeros(())

    def begin(
        self, recordings: Sequence[Recording], held: Sequence[Recording], estimator: str | Path | None = None
    ) -> None:
        """Read the recordings, build the networks, and restore them if there is a checkpoint."""
        if not recordings or not held:
            raise DiffvocError("there are no recordings to train on, or none held back; give some of both.")
        state = self._read_checkpoint()
        kind = learner_of(self.system)
        network = kind.untrained(self.settings.name, self.variant, self.settings.seed).to(self.device)
        self.frames = self.variant.frames + 2 * kind.margin_of(network)
        self.clips = Clips.read(recordings, self.frames, self.device)
        self.held = self._validation(held)
        if state:
            mel = MelConfig.from_dict(state["mel"])
        else:
            mel = self.clips.levels() if self.system.normalised else CONTRACT
        torch.manual_seed(self.settings.seed)  # of the discriminator's weights
        self.learner = kind(self.system, self.variant, network, mel, self.settings.bf16)
        if isinstance(self.learner, ours.Ablation):
            if estimator is None:
                raise DiffvocError(
                    f"{self.settings.name} begins with a magnitude network; name a vocoder that has one."
                )
            self.learner.begin_with(estimator)
        if state:
            self.learner.load_state_dict(state["learner"])
            self.budget.spent, self.budget.done = state["spent"], state["done"]
            self.scores = [Score(**score) for score in state["scores"]]
            self.tell(f"{self.settings.name}: going on after {self._so_far()}")
        else:
            self.validate()

    def compile(self) -> None:
        """Compile what is trained, before its time counts; go on without where that fails."""
        started = time.monotonic()
        batch = self.clips.cut([CropKey(0, 0, 0)] * self.variant.batch, self.frames)
        try:
            self.learner.compile(*batch)
        except Exception as error:  # of a compiler that is missing or stumbles, in its many kinds
            self.learner.undo_compile()
            self.tell(
                f"{self.settings.name}: not compiled ({type(error).__name__}: {str(error).splitlines()[0][:200]})"
            )
        else:
            self.tell(f"{self.settings.name}: {self.learner.compiled} in {time.monotonic() - started:.0f} s")

    def _validation(self, held: Sequence[Recording]) -> tuple[Tensor, Tensor]:
        """The first two seconds of eight clips at most, in one batch; for WaveRNN, which is slow, one of three."""
        count, frames = (3, 86) if self.system.kind == "wavernn" else (8, 172)
        clips = Clips.read(held[:count], max(frames, self.frames), self.device)
        return clips.cut([CropKey(i, 0, 0) for i in range(len(clips.mels))], max(frames, self.frames))

    def go_on(self, keep_quarters: bool) -> None:
        """Train until the budget is spent; validate and export at each quarter, and at the end."""
        batches = self._batches()
        try:
            while self.budget.share < 1:
                quarter = int(self.budget.share * QUARTERS)
                self._until((quarter + 1) / QUARTERS, batches)
                self.validate()
                if keep_quarters and quarter + 1 < QUARTERS:
                    self.export(f"quarter-{quarter + 1}")
                self.save()
        except KeyboardInterrupt:
            self.save()
            raise
        self.export(RESULT)

    def _batches(self) -> Iterator[list[CropKey]]:
        batches = CropBatches(self.clips.lengths, self.frames, self.variant.batch, self.settings.seed)
        batches.position = self.budget.done
        while True:
            yield from batches

    def _until(self, share: float, batches: Iterator[list[CropKey]]) -> None:
        """Train until ``share`` of the budget is used, with checkpoints on the way."""
        clock = _Clock(self.budget, self.device)
        while self.budget.share < share:
            part = int(self.budget.share * SAVES)
            self.loss = self._step(next(batches))
            clock.tick()
            if clock.since_told > TOLD_EVERY:
                clock.wait()
                self._tell_progress()
                clock.since_told = 0.0
            if int(self.budget.share * SAVES) > part and self.budget.share < share:
                clock.wait()
                self.save()
                clock.start()
        clock.wait()
        self._check_loss()

    def _step(self, keys: list[CropKey]) -> Tensor:
        waveform, mel = self.clips.cut(keys, self.frames)
        if self.settings.gain_db:
            seeds = [key.seed for key in keys]
            waveform, mel = change_gain(waveform, mel, seeds, self.settings.gain_db, CONTRACT)
        torch.manual_seed(keys[0].seed)  # so that a run that was taken up again draws the noise of one that was not
        return self.learner.step(waveform, mel, self.budget.done, self.budget.share)

    def _check_loss(self) -> None:
        if not math.isfinite(float(self.loss)):
            raise DiffvocError(
                f"the loss of {self.settings.name} is no number any more after {self._so_far()}; the checkpoint in "
                f"{self.output} is from before: try another seed or size."
            )

    def _tell_progress(self) -> None:
        self._check_loss()
        left = self.budget.left()
        shown = f"{left / 60:.1f} minutes" if left > 90 else f"{left:.0f} s"
        self.tell(f"  {self.settings.name}: {self._so_far()}, loss {float(self.loss):.3f}, {shown} left")

    def _so_far(self) -> str:
        return f"{self.budget.done:,} steps, {self.budget.spent / 60:.1f} minutes ({min(1.0, self.budget.share):.0%})"

    def finished(self) -> Any:
        """The generator as it is now, to be listened to and saved: a Baseline, or a vocoder of ours."""
        return self.learner.finished(self.settings.name, self.settings.size, self._words())

    def _words(self) -> str:
        if not self.budget.done:
            return "untrained"
        where = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        threads = f" ({torch.get_num_threads()} threads)" if where == "CPU" and torch.get_num_threads() > 1 else ""
        crops = f"{self.budget.done:,} steps of {self.variant.batch} crops of {self.variant.frames} frames"
        return f"{self.budget.spent / 60:.3g} {where} minutes{threads}, {crops}"

    @torch.inference_mode()
    def validate(self) -> None:
        """Score the generator on the held-back clips."""
        waveform, mel = self.held
        finished = self.finished()
        if self.system.kind == "wavernn":
            finished.fold = SHORT_PIECES
        made = finished.synthesise(mel, seed=0)
        distance = float((log_mel(made, CONTRACT)[..., : mel.shape[-1]] - mel).abs().mean())
        nats = None
        if isinstance(self.learner, learners.Autoregressive):
            nats = self.learner.validate(waveform, mel)
        wanted, found = (stft(x, CONTRACT).abs().clamp_min(1e-3).log() for x in (waveform, made))
        spectral = float((found - wanted).abs().mean())
        self.scores.append(Score(self.budget.done, self.budget.spent / 60, distance, nats, spectral))
        self.tell(f"{self.settings.name}: {self._so_far()}, {self.scores[-1]}")

    def export(self, name: str) -> None:
        """Write the generator to the folder ``name`` of the run."""
        self.learner.export(self.finished(), self.output / name, self.data)

    def save(self) -> None:
        """Write a checkpoint beside the last one, and put it in its place."""
        from tts_diffvoc.coqui.training import save_whole

        try:
            self.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiffvocError(f"the run cannot be written to {self.output}: {error.strerror or error}.") from None
        state = {
            "settings": asdict(self.settings),
            "learner": self.learner.state_dict(),
            "mel": self.learner.mel.to_dict(),
            "spent": self.budget.spent,
            "done": self.budget.done,
            "scores": [asdict(score) for score in self.scores],
        }
        save_whole(state, self.output / CHECKPOINT)

    def _read_checkpoint(self) -> dict[str, Any] | None:
        path = self.output / CHECKPOINT
        if not path.is_file():
            return None
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            before = state["settings"]
        except Exception as error:  # whatever a damaged file makes the reader raise
            raise DiffvocError(f"{path} cannot be read ({type(error).__name__}); delete it to begin anew.") from None
        now = asdict(self.settings)
        other = [f"{key} {before.get(key)} and not {value}" for key, value in now.items() if before.get(key) != value]
        if other:
            raise DiffvocError(f"the run in {self.output} has {', '.join(other)}; give another output folder.")
        return state


class _Clock:
    """Adds the time of steps to a budget; on a GPU the time at which they were queued, until :meth:`wait`."""

    def __init__(self, budget: Budget, device: torch.device) -> None:
        self.budget, self.device, self.since_told = budget, device, 0.0
        self.start()

    def now(self) -> float:
        """Seconds that the device has worked for this process."""
        if self.device.type == "cpu":
            return time.process_time() / torch.get_num_threads()
        return time.monotonic()

    def start(self) -> None:
        self.last = self.now()

    def _add(self) -> None:
        now = self.now()
        self.budget.spent += now - self.last
        self.since_told += now - self.last
        self.last = now

    def tick(self) -> None:
        self.budget.done += 1
        self._add()

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self._add()
