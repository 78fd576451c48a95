"""Training any system of the benchmark: the same crops, budget and seeds for all, taken up again where they stopped.

The loop is ``tts_diffvoc.training.loop``; what differs are the losses, of ``gan``, ``wavernn`` and ``vocoder``.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tts_diffvoc.checkpoint import write_beside
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.mel import MelConfig, log_mel, stft
from tts_diffvoc.training.corpus import Recording
from tts_diffvoc.training.crops import CropBatches, CropDataset, CropKey, change_gain, collate
from tts_diffvoc.training.loop import CHECKPOINT, Loop, LoopConfig, check_device
from tts_diffvoc.voices import read_json
from tts_diffvoc_eval.baselines import configs, folder, vocoder
from tts_diffvoc_eval.baselines.gan import GANTraining
from tts_diffvoc_eval.baselines.networks import generator
from tts_diffvoc_eval.baselines.wavernn import WaveRNNTraining
from tts_diffvoc_eval.mels import MEL, convert
from tts_diffvoc_eval.systems import System, our_vocoder

RESULT, RUN, FINISHED = "vocoder", "run.json", "result.json"
QUARTERS = (0.25, 0.5, 0.75)
# The magnitude network learns first and alone, for this share of the budget: the other network is conditioned on it.
ESTIMATOR_SHARE, ESTIMATOR_RATE, ESTIMATOR_CLIP = 0.4, 2e-3, 5.0
SHORT_PIECES = (10, 2)  # frames that WaveRNN generates side by side, and their run-up, to be quick in validation
FIXED = ("name", "size", "seed", "batch", "frames", "gain_db", "bf16")


@dataclass(frozen=True)
class TrainingConfig:
    """How one system is trained.

    Attributes:
        name: of ``configs.BASELINES``.
        minutes, steps: the budget in all, one of them; more than before goes on with a finished run.
        size: "published" or "small".
        device: to train on.
        seed: of weights, crops and noise.
        batch, frames: crops a step and mel frames of one, instead of the system's own.
        gain_db: each crop is made louder or softer by up to this many decibels, as in training our own vocoders.
        bf16: compute the networks in bfloat16, WaveRNN's excepted.
        compiled: let ``torch.compile`` make the networks of our vocoders faster; compiling does not count as training.
        keep_quarters: keep the generator after each quarter but the last, too, in ``quarter-1`` to ``-3``.
        estimator: a vocoder of ours, whose magnitude network an ablation begins with.
        data: what the recordings are, for the model card; names, no paths.
    """

    name: str
    minutes: float | None = None
    steps: int | None = None
    size: str = "small"
    device: str = "cpu"
    seed: int = 0
    batch: int | None = None
    frames: int | None = None
    gain_db: float = 0.0
    bf16: bool = False
    compiled: bool = False
    keep_quarters: bool = False
    estimator: str | None = None
    data: str = "not said"

    def asked(self) -> dict[str, Any]:
        """What ``result.json`` keeps, by which a finished training is known again."""
        left_out = ("name", "keep_quarters", "data")
        return {key: value for key, value in asdict(self).items() if value is not None and key not in left_out}


def train(
    config: TrainingConfig, recordings: Sequence[Recording], held: Sequence[Recording], output: str | Path
) -> dict[str, Any]:
    """Train a system, or go on with what lies in ``output``, and write the generator to ``output/vocoder``.

    Args:
        recordings: to train on; they are held in memory on the device.
        held: recordings to validate on, at the beginning and after each quarter of the budget: their first two
            seconds, eight at most, with one seed.

    Returns: what ``output/result.json`` then holds: label, size, parameters of synthesis, steps, minutes, and the
    scores at the beginning and after each quarter.

    Raises: DiffvocError for bad settings, a checkpoint of another run, or a loss that is not finite.
    """
    check_device(config.device)
    with _alone(Path(output)), torch.random.fork_rng(devices=[config.device] if "cuda" in config.device else []):
        return Training(config, recordings, held, Path(output)).run()


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Nobody else trains in ``output`` meanwhile; DiffvocError if somebody does, or it cannot be written."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = (output / ".lock").open("w")
    except OSError as error:
        raise DiffvocError(f"the run cannot be written to {output}: {error.strerror or error}.") from None
    with lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows
            pass
        except OSError:
            raise DiffvocError(f"another process trains in {output}; wait for it, or stop it.") from None
        yield


@dataclass(frozen=True)
class Stage:
    """A model that learns in a part of the budget, which begins after ``start`` of the whole and is ``share`` of it."""

    model: nn.Module
    config: LoopConfig
    folder: Path
    start: float = 0.0
    share: float = 1.0

    def progress(self, loop: Loop) -> float:
        """Share of the whole budget that is spent."""
        return self.start + self.share * loop.progress


class Training:
    """One training; :func:`train` says what it takes."""

    def __init__(
        self, config: TrainingConfig, recordings: Sequence[Recording], held: Sequence[Recording], output: Path
    ) -> None:
        self.baseline = configs.find(config.name)
        self.size = self._sized(config)
        self.config = replace(config, batch=self.size.batch, frames=self.size.frames)
        self.asked, self.output = config.asked(), output
        LoopConfig(config.minutes, config.steps)
        if not recordings or not held:
            raise DiffvocError("there are no recordings to train on, or none held back; give some of both.")
        self.state = self._begin()
        self.steps, self.seconds = 0, 0.0
        self.network = self._network()
        margin = self.network.args.pad if self.baseline.kind == "wavernn" else 0
        self.clips = CropDataset(recordings, MEL, self.size.frames + 2 * margin).load(config.device)
        self.mel = self._mel()
        self.held = self._held(held, self.clips.frames)

    def _sized(self, config: TrainingConfig) -> configs.SizeConfig:
        size = self.baseline.size(config.size)
        given = {"batch": config.batch, "frames": config.frames}
        size = replace(size, **{name: value for name, value in given.items() if value is not None})
        least = 2 if self.baseline.kind == "wavernn" else 8
        if size.batch < 1 or size.frames < least:
            raise DiffvocError(
                f"{size.batch} crops of {size.frames} frames were asked for; {self.baseline.label} needs at least 1 "
                f"of {least}."
            )
        return size

    def _begin(self) -> dict[str, Any]:
        """What the folder says of its run; DiffvocError for one of other settings, or of an earlier version."""
        now = {name: getattr(self.config, name) for name in FIXED}
        if not (self.output / RUN).is_file():
            if (self.output / CHECKPOINT).is_file():
                raise DiffvocError(
                    f"{self.output / CHECKPOINT} cannot be used by this version; delete it to begin again."
                )
            return {"settings": now, "scores": []}
        state = read_json(self.output / RUN)
        before = state.get("settings", {})
        other = [f"{key} {before.get(key)} and not {value}" for key, value in now.items() if before.get(key) != value]
        if other:
            raise DiffvocError(f"the run in {self.output} has {', '.join(other)}; give another output folder.")
        return state

    def _network(self) -> nn.Module:
        if self.baseline.kind != "vocoder":
            return generator(self.baseline.kind, self.size.network, self.config.seed)
        network = vocoder.untrained(self.size, self.config.name, self.config.seed)
        if self.baseline.borrows:
            vocoder.borrow_estimator(network, self.config.name, self.config.estimator)
        network.autocast = torch.bfloat16 if self.config.bf16 else None
        return network

    def _mel(self) -> MelConfig:
        """The mel that the network takes: each band scaled to mean 0 and deviation 1 where its authors do so."""
        if "mel" not in self.state:
            everything = torch.cat([mel for _, mel in self.clips.clips], dim=1).double()
            mean, deviation = everything.mean(1), everything.std(1).clamp_min(0.1)
            scaled = MelConfig(scale=tuple((1 / deviation).tolist()), shift=tuple((-mean / deviation).tolist()))
            self.state["mel"] = (scaled if self.baseline.normalised else MEL).to_dict()
        return MelConfig.from_dict(self.state["mel"])

    def _held(self, held: Sequence[Recording], least: int) -> dict[str, Tensor]:
        """The first two seconds of eight clips at most, in one batch; for WaveRNN, which is slow, one of three."""
        count, frames = (3, 86) if self.baseline.kind == "wavernn" else (8, 172)
        clips = CropDataset(held[:count], MEL, max(frames, least)).load(self.config.device)
        return collate([clips[CropKey(i, 0, 0)] for i in range(len(clips))])

    def stages(self) -> list[Stage]:
        """What learns in which part of the budget."""
        torch.manual_seed(self.config.seed)  # of the discriminator's weights
        coqui = self.baseline.coqui
        if self.baseline.kind == "vocoder":
            first = ESTIMATOR_SHARE if self.network.estimator is not None and not self.baseline.borrows else 0.0
            network = vocoder.VocoderTraining(self.network, "network")
            stages = [self._stage(network, first, 1 - first, ema_decay=self.size.ema_decay)]
            if first:
                rate = {"learning_rate": ESTIMATOR_RATE, "clip_norm": ESTIMATOR_CLIP, "ema_decay": self.size.ema_decay}
                estimator = vocoder.VocoderTraining(self.network, "estimator")
                stages.insert(0, self._stage(estimator, 0.0, first, "magnitudes", **rate))
            return stages
        betas = tuple(coqui.optimizer_params["betas"])
        if self.baseline.kind == "wavernn":
            return [self._stage(WaveRNNTraining(self.network), clip_norm=coqui.grad_clip, betas=betas)]
        model = GANTraining(self.baseline, self.size, self.network, self.config.bf16)
        return [self._stage(model, clip_norm=coqui.grad_clip[0], betas=betas)]

    def _stage(
        self, model: nn.Module, start: float = 0.0, share: float = 1.0, folder: str = "", **changes: Any
    ) -> Stage:
        steps, minutes = self.config.steps, self.config.minutes
        if steps:
            steps = max(1, round(steps * (start + share)) - round(steps * start))
        config = LoopConfig(
            minutes=minutes and minutes * share,
            steps=steps,
            **{
                "learning_rate": self.size.learning_rate,
                "final_share": 0.1,
                "warmup_steps": 50,
                "betas": (0.9, 0.999),
                "weight_decay": 0.0,
                "ema_decay": 0.0,
                "checks": tuple((quarter - start) / share for quarter in QUARTERS if start < quarter < start + share),
                "device": self.config.device,
                **changes,
            },
        )
        return Stage(model, config, self.output / folder, start, share)

    def run(self) -> dict[str, Any]:
        """Train until the budget is spent; validate and export at each quarter, and at the end."""
        stages = self.stages()
        if not self.state["scores"]:
            self.validate(stages[-1].model.to(self.config.device))
        for stage in stages:
            loop = Loop(stage.model, stage.config, stage.folder)
            if loop.step:
                print(f"{self.config.name}: going on after {loop.step} steps", flush=True)
            if self.config.compiled and loop.progress < 1 and stage is stages[-1]:
                self.compile(loop)
            quarter = int(4 * stage.progress(loop))
            loop.run(self.batches(stage, loop), partial(self.check, stage, loop, [quarter]))
            self.steps, self.seconds = self.steps + loop.step, self.seconds + loop.seconds
            if stage is not stages[-1]:
                self.network.load_state_dict(loop.average.module.vocoder.state_dict())
        model = loop.average.module.eval()
        if self.state["scores"][-1]["steps"] != self.steps or not (self.output / RESULT).is_dir():
            self.validate(model, RESULT)
        return self._finish(model)

    def batches(self, stage: Stage, loop: Loop) -> Iterator[dict[str, Any]]:
        """Crops without end, from where the training is."""
        order = CropBatches(self.clips.lengths, self.clips.frames, self.size.batch, self.config.seed)
        order.position = self.steps + loop.step
        while True:
            for keys in order:
                batch = collate([self.clips[key] for key in keys])
                waveform, mel = batch["waveform"], batch["mel"]
                if self.config.gain_db:
                    waveform, mel = change_gain(waveform, mel, [key.seed for key in keys], self.config.gain_db, MEL)
                torch.manual_seed(keys[0].seed)  # so that a run that was taken up again draws the same noise
                mel = convert(mel, self.mel)
                yield {"waveform": waveform, "mel": mel, "seed": batch["seed"], "progress": stage.progress(loop)}

    def compile(self, loop: Loop) -> None:
        """Compile one of our vocoders before its time counts; go on without where that fails."""
        if self.baseline.kind != "vocoder":
            return
        started = time.monotonic()
        try:
            vocoder.compile_network(loop.model.vocoder)  # the average, which was copied before, stays as it is
            loop.model.loss(collate([self.clips[CropKey(0, 0, 0)]] * self.size.batch))["loss"].backward()
            told = f"network compiled in {time.monotonic() - started:.0f} s"
        except Exception as error:  # of a compiler that is missing or stumbles, in its many kinds
            vocoder.undo_compile(loop.model.vocoder)
            told = f"not compiled ({type(error).__name__}: {str(error).splitlines()[0][:200]})"
        loop.model.zero_grad(set_to_none=True)
        print(f"{self.config.name}: {told}", flush=True)

    def check(self, stage: Stage, loop: Loop, seen: list[int], model: nn.Module) -> dict[str, float]:
        """Validate where a quarter but the last has passed since ``seen``."""
        quarter = int(4 * stage.progress(loop) + 1e-9)
        if not seen[0] < quarter < 4:
            return {}
        seen[0] = quarter
        spent = self.steps, self.seconds
        self.steps, self.seconds = self.steps + loop.step, self.seconds + loop.seconds
        self.validate(model, f"quarter-{quarter}" if self.config.keep_quarters else None)
        self.steps, self.seconds = spent
        return {}

    def validate(self, model: nn.Module, part: str | None = None) -> None:
        """Score the generator on the held-back clips as it is written to a folder: ``part`` of the run, if any."""
        with tempfile.TemporaryDirectory() as scratch:
            path = self.output / part if part else Path(scratch) / RESULT
            self.export(model, path)
            score = self.score(model, self._load(path))
        self.state["scores"].append(score)
        write_beside(self.output / RUN, json.dumps(self.state, indent=1) + "\n")
        nats = "" if score["nats"] is None else f", {score['nats']:.3f} nats a sample"
        shown = f"log-mel L1 {score['mel_l1']:.3f}, log-STFT L1 {score['stft_l1']:.3f}{nats}"
        print(f"{self.config.name}: {self.steps:,} steps, held back: {shown}", flush=True)

    def export(self, model: nn.Module, path: Path) -> None:
        """Write a checkpoint of ours, or a baseline's folder."""
        words, config = self._words(), self.config
        if self.baseline.kind == "vocoder":
            return vocoder.save(model.vocoder, path, self.baseline.label_of(config.size), words, config.data)
        folder.save(model.generator, path, config.name, config.size, self.mel, words, config.data)

    def _load(self, path: Path) -> System:
        if self.baseline.kind == "vocoder":
            return our_vocoder(str(path), self.config.device)[0]
        return folder.load(path, self.config.device, SHORT_PIECES)

    def _words(self) -> str:
        if not self.steps:
            return "untrained"
        where, count = "CPU", torch.get_num_threads()
        if self.config.device.startswith("cuda"):
            where, count = torch.cuda.get_device_name(self.config.device), 1
        threads = f" ({count} threads)" if count > 1 else ""
        crops = f"{self.steps:,} steps of {self.size.batch} crops of {self.size.frames} frames"
        return f"{self.seconds / 60:.3g} {where} minutes{threads}, {crops}"

    @torch.inference_mode()
    def score(self, model: nn.Module, system: System) -> dict[str, float | None]:
        """How the generator does on held-back clips after so many steps and minutes.

        ``mel_l1`` is the mean absolute difference of log-mels, in nepers, which says little of a vocoder that corrects
        its mel at the end; ``nats`` WaveRNN's cross-entropy a sample, else None; ``stft_l1`` the mean absolute
        difference of log magnitudes of the short-time spectrum, in nepers, those below 1e-3 taken as that.
        """
        waveform, mel = self.held["waveform"], self.held["mel"]
        made = system.synthesise(mel, 0)
        distance = (log_mel(made, MEL)[..., : mel.shape[-1]] - mel).abs().mean()
        found, wanted = (stft(x, MEL).abs().clamp_min(1e-3).log() for x in (made, waveform))
        nats = None
        if isinstance(model, WaveRNNTraining):
            nats = float(model.eval().loss({"waveform": waveform, "mel": convert(mel, self.mel)})["loss"])
        return {
            "steps": self.steps,
            "minutes": self.seconds / 60,
            "mel_l1": float(distance),
            "nats": nats,
            "stft_l1": float((found - wanted).abs().mean()),
        }

    def _finish(self, model: nn.Module) -> dict[str, Any]:
        result = {
            "label": self.baseline.label,
            "size": self.config.size,
            "parameters": self._load(self.output / RESULT).parameters,
            "steps": self.steps,
            "minutes": self.seconds / 60,
            "scores": self.state["scores"],
            "asked": self.asked,
        }
        write_beside(self.output / FINISHED, json.dumps(result, indent=1) + "\n")
        return result
