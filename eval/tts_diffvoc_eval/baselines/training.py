"""Training any system of the benchmark from nothing: the same crops, budget and seed for all.

The loop is ``tts_diffvoc.training.loop``; what differs are the losses, of ``gan`` and ``wavernn``, or a vocoder's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import write_beside
from tts_diffvoc.mel import MelConfig, log_mel, stft
from tts_diffvoc.training.corpus import Recording
from tts_diffvoc.training.crops import CropBatches, CropDataset, CropKey, change_gain, collate
from tts_diffvoc.training.learner import VocoderTraining
from tts_diffvoc.training.loop import Loop, LoopConfig, check_device
from tts_diffvoc.voices import read_json
from tts_diffvoc_eval.baselines import configs, folder
from tts_diffvoc_eval.baselines.gan import GANTraining
from tts_diffvoc_eval.baselines.networks import generator
from tts_diffvoc_eval.baselines.wavernn import WaveRNNTraining
from tts_diffvoc_eval.mels import MEL, convert
from tts_diffvoc_eval.systems import System, our_vocoder

VOCODER, RESULT = "vocoder", "result.json"
QUARTERS = (0.25, 0.5, 0.75)
COMPILE_MODE = "max-autotune-no-cudagraphs"  # on a GPU; cudagraphs would keep the weights' averages from being taken
FIXED = ("name", "size", "seed", "batch", "frames", "gain_db", "bf16")


@dataclass(frozen=True)
class TrainingConfig:
    """How one system is trained.

    Attributes:
        name: of ``configs.BASELINES``.
        minutes, steps: the budget in all, one of them; a larger one continues a finished run.
        size: "published" or "small".
        device: to train on.
        seed: of weights, crops and noise.
        batch, frames: crops a step and mel frames of one, instead of the system's own.
        gain_db: each crop is made louder or softer by up to this many decibels.
        bf16: compute the networks in bfloat16, WaveRNN's excepted.
        compiled: compile the networks of this package's vocoders; compiling does not count as training.
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
    data: str = "not said"

    def settings(self) -> dict[str, Any]:
        """What two calls of one run must have in common."""
        return {name: getattr(self, name) for name in FIXED}


class Training:
    """The training of one system in the folder ``output``, or what is left of it.

    The generator is written to ``quarter-1`` to ``quarter-3`` and ``vocoder`` at the end of each quarter of the budget,
    and scored on held-back recordings; ``result.json`` keeps the scores.

    Args:
        recordings: to train on; they are held in memory on the device.
        held: recordings to score on: the first two seconds of eight at most, with one seed.

    Raises: DiffvocError for bad settings, or a folder with a run of other settings.
    """

    def __init__(
        self, config: TrainingConfig, recordings: Sequence[Recording], held: Sequence[Recording], output: Path
    ) -> None:
        if not recordings or not held:
            raise DiffvocError("there are no recordings to train on, or none held back; give some of both.")
        check_device(config.device)
        self.config, self.output = config, output
        self.baseline = configs.find(config.name)
        size, slow = self.baseline.size(config.size), self.baseline.kind == "wavernn"
        self.size = replace(size, batch=config.batch or size.batch, frames=config.frames or size.frames)
        least = 2 if slow else 8
        if self.size.batch < 1 or self.size.frames < least:
            raise DiffvocError(
                f"{self.size.batch} crops of {self.size.frames} frames were asked for; {self.baseline.label} needs at "
                f"least 1 of {least}."
            )
        self.result = self._begin()
        self.network: Any = generator(self.baseline.kind, self.size.network, config.seed)
        frames = self.size.frames + (2 * self.network.args.pad if slow else 0)  # the network's margins
        self.clips = CropDataset(recordings, MEL, frames).load(config.device)
        self.mel = self._mel()
        count, least = (3, 86) if slow else (8, 172)
        scored = CropDataset(held[:count], MEL, max(least, frames)).load(config.device)
        self.held = collate([scored[CropKey(i, 0, 0)] for i in range(len(scored))])
        self.loop = self._loop()
        self.quarter = int(4 * self.loop.progress)

    def _begin(self) -> dict[str, Any]:
        """What the folder holds of its result; DiffvocError for one of other settings."""
        now = self.config.settings()
        result = read_json(self.output / RESULT) or {"settings": now, "scores": []}
        before = result["settings"]
        other = [f"{key} {before.get(key)} and not {value}" for key, value in now.items() if before.get(key) != value]
        if other:
            raise DiffvocError(f"the run in {self.output} has {', '.join(other)}; give another output folder.")
        return result

    def _mel(self) -> MelConfig:
        """The mel that the network takes: each band scaled to mean 0 and deviation 1 where its authors do so."""
        if "mel" not in self.result:
            everything = torch.cat([mel for _, mel in self.clips.clips], dim=1).double()
            mean, deviation = everything.mean(1), everything.std(1).clamp_min(0.1)
            scaled = MelConfig(scale=tuple((1 / deviation).tolist()), shift=tuple((-mean / deviation).tolist()))
            self.result["mel"] = (scaled if self.baseline.normalised else MEL).to_dict()
        return MelConfig.from_dict(self.result["mel"])

    def _loop(self) -> Loop:
        config, coqui = self.config, self.baseline.coqui
        torch.manual_seed(config.seed)  # of the discriminator's weights
        clip_norm, betas = 1.0, (0.9, 0.999)
        if coqui is not None:
            clips = coqui.grad_clip
            clip_norm, betas = clips if isinstance(clips, float) else clips[0], tuple(coqui.optimizer_params["betas"])
        if self.baseline.kind == "vocoder":
            self.network.autocast = torch.bfloat16 if config.bf16 else None
            model: nn.Module = VocoderTraining(self.network)
        elif self.baseline.kind == "wavernn":
            model = WaveRNNTraining(self.network)
        else:
            model = GANTraining(self.baseline, self.size, self.network, config.bf16)
        settings = LoopConfig(
            minutes=config.minutes,
            steps=config.steps,
            learning_rate=self.size.learning_rate,
            final_share=0.1,
            warmup_steps=50,
            betas=betas,
            weight_decay=0.0,
            clip_norm=clip_norm,
            ema_decay=self.size.ema_decay,
            checks=QUARTERS,
            device=config.device,
        )
        return Loop(model, settings, self.output)

    def run(self) -> dict[str, Any]:
        """Train until the budget is spent; returns what ``result.json`` then holds."""
        if self.config.compiled and self.baseline.kind == "vocoder" and self.loop.progress < 1:
            self.compile()
        self.loop.run(self.batches(), self.check)
        if not self.result.get("finished") or self.result["steps"] != self.loop.step:
            self.validate(self.loop.average.module.eval(), VOCODER)
        return self.result

    def compile(self) -> None:
        """Compile the network of a vocoder of this package, by one loss and its gradient.

        What the compiler cannot take runs as it is. Do not copy the vocoder afterwards: the copy would share its
        weights.
        """
        torch._dynamo.config.suppress_errors = True
        batch, model = collate([self.clips[CropKey(0, 0, 0)]] * self.size.batch), cast(Any, self.loop.model)
        self.network.network.compile(dynamic=False, mode=COMPILE_MODE if batch["waveform"].is_cuda else "default")
        model.loss(batch)["loss"].backward()
        model.zero_grad(set_to_none=True)

    def batches(self) -> Iterator[dict[str, Any]]:
        """Crops without end, from where the training is."""
        order = CropBatches(self.clips.lengths, self.clips.frames, self.size.batch, self.config.seed)
        order.position = self.loop.step
        while True:
            for keys in order:
                batch = collate([self.clips[key] for key in keys])
                if self.config.gain_db:
                    batch = change_gain(batch, self.config.gain_db, MEL)
                torch.manual_seed(keys[0].seed)  # so that a resumed run draws the same noise
                yield {**batch, "mel": convert(batch["mel"], self.mel), "progress": self.loop.progress}

    def check(self, model: nn.Module) -> dict[str, float]:
        """Write and score the generator where a quarter of the budget has passed."""
        quarter = int(4 * self.loop.progress + 1e-9)
        if quarter == self.quarter:
            return {}
        self.quarter = quarter
        scores = self.validate(model, VOCODER if quarter == 4 else f"quarter-{quarter}")
        return {name: score for name, score in scores.items() if score is not None}

    def validate(self, model: nn.Module, part: str) -> dict[str, float | None]:
        """Write the generator to the folder ``part``, and score it on the held-back clips as it is read from there."""
        self.export(model, self.output / part)
        system = self.load(self.output / part)
        scores = self.score(system)
        spent = {"steps": self.loop.step, "minutes": self.loop.seconds / 60}
        self.result["scores"].append({**spent, **scores})
        facts = {"label": self.baseline.label, "parameters": system.parameters, "finished": part == VOCODER}
        self.result |= {**facts, **spent}
        write_beside(self.output / RESULT, json.dumps(self.result, indent=1) + "\n")
        return scores

    def export(self, model: Any, path: Path) -> None:
        """Write the folder of a vocoder of this package, or of a baseline."""
        network, config = getattr(model, "vocoder", None) or model.generator, self.config
        folder.save(network, path, config.name, config.size, self.mel, self._words(), config.data)

    def load(self, path: Path) -> System:
        """What :meth:`export` wrote."""
        if self.baseline.kind == "vocoder":
            return our_vocoder(str(path), self.config.device)[0]
        return folder.load(path, self.config.device)

    def _words(self) -> str:
        where, count = "CPU", torch.get_num_threads()
        if self.config.device.startswith("cuda"):
            where, count = torch.cuda.get_device_name(self.config.device), 1
        threads = f" ({count} threads)" if count > 1 else ""
        crops = f"{self.loop.step:,} steps of {self.size.batch} crops of {self.size.frames} frames"
        return f"{self.loop.seconds / 60:.3g} {where} minutes{threads}, {crops}"

    @torch.inference_mode()
    def score(self, system: System) -> dict[str, float | None]:
        """Mean absolute differences on the held-back clips, in nepers; None where the system makes no sound yet.

        ``mel_l1``: of log-mels. ``stft_l1``: of log magnitudes of the short-time spectrum, those below 1e-3 as that.
        """
        waveform, mel = self.held["waveform"], self.held["mel"]
        try:
            made = system.synthesise(mel, 0)
        except DiffvocError:  # an untrained diffusion can overflow
            return {"mel_l1": None, "stft_l1": None}
        distance = (log_mel(made, MEL)[..., : mel.shape[-1]] - mel).abs().mean()
        found, wanted = (stft(x, MEL).abs().clamp_min(1e-3).log() for x in (made, waveform))
        return {"mel_l1": float(distance), "stft_l1": float((found - wanted).abs().mean())}
