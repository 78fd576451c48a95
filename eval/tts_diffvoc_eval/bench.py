"""Speed on one device: the published DiffWave beside the public ``diffwave`` package's network, and what is bundled.

Both networks have the same random weights, on which speed does not depend. Before anything is timed, six steps of
sampling from the same noise must agree to 1e-4 in float32 (TF32 off). It takes no more than this checkout, PyTorch and
NumPy: what else is missing is left out, and said so.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tts_diffvoc.base import check_device
from tts_diffvoc.capture import Captures
from tts_diffvoc.diffusion.samplers import ddpm, sample
from tts_diffvoc.diffusion.schedules import published_schedule
from tts_diffvoc.errors import Failure
from tts_diffvoc.mel import MelConfig, log_mel
from tts_diffvoc.networks.diffwave import BASE, LARGE, DiffWaveConfig
from tts_diffvoc.vocoder import Vocoder, VocoderConfig
from tts_diffvoc_eval.provenance import command_line, commit, device_name
from tts_diffvoc_eval.speed import Setting, Synthesise, fit_mel, measure

SIZES = {"BASE": BASE, "LARGE": LARGE}
SMALL = {"small": DiffWaveConfig(residual_channels=8, residual_layers=4, dilation_cycle=4)}
TRAINING, INFERENCE = published_schedule("diffwave-50"), published_schedule("diffwave-fast-6")
CROP = Setting(16, 62 * 256 / 22050)  # what the public package trains on
MODES = {"compiled": "default", "graphs": "reduce-overhead"}  # of torch.compile; the second captures CUDA graphs
BUNDLED = ("diffwave", "wavegrad")


def sample_public(
    predict: Callable[[Tensor, float, float], Tensor],
    noises: Sequence[Tensor],
    training: Sequence[float],
    inference: Sequence[float],
    clip: float | None = 1.0,
) -> Tensor:
    """The reverse process as the public packages write it, with their alignment of a short schedule.

    Args:
        predict: (x [B, T], fractional step of training, noise level) -> eps.
        noises: [B, T] each; the first is the start, then one a step but the last.
        training, inference: betas.
        clip: the packages cut the state to [-1, 1] after each step; None does not.
    """
    beta = np.array(inference)
    level, trained = (np.cumprod(1 - np.array(betas)) ** 0.5 for betas in (beta, training))
    steps = np.interp(-level, -trained, np.arange(len(trained)))
    x = noises[0]
    for n in range(len(beta) - 1, -1, -1):
        eps = predict(x, float(steps[n]), float(level[n]))
        x = (x - beta[n] / (1 - level[n] ** 2) ** 0.5 * eps) / (1 - beta[n]) ** 0.5
        if n > 0:
            sigma = ((1 - level[n - 1] ** 2) / (1 - level[n] ** 2) * beta[n]) ** 0.5
            x = x + sigma * noises[len(beta) - n]
        x = x if clip is None else x.clamp(-clip, clip)
    return x


def draw(mel: Tensor, seed: int, count: int = INFERENCE.num_steps) -> tuple[Tensor, ...]:
    """``count`` times noise [B, F * 256] on the device of ``mel`` [B, M, F]."""
    generator = torch.Generator(mel.device).manual_seed(seed)
    shape = (count, mel.shape[0], mel.shape[2] * 256)
    return torch.randn(shape, generator=generator, device=mel.device).unbind(0)


def make_ours(sizes: DiffWaveConfig, device: str, mode: str = "eager") -> Vocoder:
    """A published DiffWave with random weights that are the same each time, whose output is not silent."""
    torch.manual_seed(0)
    vocoder = Vocoder(VocoderConfig("diffwave", sizes, TRAINING), "diffwave").to(device).eval()
    nn.init.normal_(vocoder.network.get_parameter("output_projection.weight"), std=0.05)
    if mode != "eager":
        compile_network(vocoder.network, mode, device)
    return vocoder


def compile_network(network: nn.Module, mode: str, device: str) -> None:
    """Compile ``network`` in place, whole; on a CPU, where this only rehearses, nothing is generated."""
    how = {"mode": MODES[mode]} if device.startswith("cuda") else {"backend": "eager"}
    network.compile(fullgraph=True, dynamic=False, **how)


def make_public(sizes: DiffWaveConfig, device: str) -> nn.Module | None:
    """The public package's network with the weights of :func:`make_ours`; None where the package is not there."""
    try:
        from diffwave.model import DiffWave
    except ImportError:
        return None
    params = SimpleNamespace(
        residual_channels=sizes.residual_channels,
        residual_layers=sizes.residual_layers,
        dilation_cycle_length=sizes.dilation_cycle,
        n_mels=sizes.n_mels,
        noise_schedule=list(TRAINING.betas),
    )
    network = DiffWave(params)
    network.load_state_dict(make_ours(sizes, "cpu").network.state_dict())
    return network.to(device).eval()


def ours(vocoder: Vocoder, kind: str = "float32") -> Synthesise:
    """Six steps with our network."""

    def synthesise(mel: Tensor, seed: int) -> Tensor:
        vocoder.autocast = torch.bfloat16 if kind == "bf16" else None
        first, *rest = draw(mel, seed)
        following = iter(rest)
        denoiser = vocoder.denoiser(mel)
        return sample(ddpm, denoiser, first, INFERENCE, generator=lambda: next(following), clip=1.0)

    return synthesise


def public(network: nn.Module, kind: str = "float32") -> Synthesise:
    """Six steps with the public network, its arithmetic mixed by autocast around it."""

    def synthesise(mel: Tensor, seed: int) -> Tensor:
        def predict(x: Tensor, step: float, level: float) -> Tensor:
            with torch.autocast(mel.device.type, torch.bfloat16, enabled=kind == "bf16"):
                return network(x, mel, torch.tensor([step], device=x.device)).squeeze(1).to(x.dtype)

        return sample_public(predict, draw(mel, seed), TRAINING.betas, INFERENCE.betas)

    return synthesise


def training(network: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], kind: str) -> Synthesise:
    """One step of training as a system that is timed: noise stands for the waveform."""
    optimizer = torch.optim.Adam(network.parameters(), 2e-4)

    def step(mel: Tensor, seed: int) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            waveform, mel = draw(mel, seed, 1)[0].clamp(-1, 1), mel.clone()
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(mel.device.type, torch.bfloat16, enabled=kind == "bf16"):
                found = loss(waveform, mel)
            found.backward()
            optimizer.step()
            return waveform

    return step


def public_loss(network: nn.Module, device: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The public package's objective: absolute error of the noise at steps drawn evenly."""
    levels = TRAINING.noise_levels.float().to(device)

    def loss(waveform: Tensor, mel: Tensor) -> Tensor:
        step = torch.randint(len(levels), (len(mel),), device=mel.device)
        level, noise = levels[step].unsqueeze(1), torch.randn_like(waveform)
        noisy = level * waveform + (1 - level**2).sqrt() * noise
        return (network(noisy, mel, step).squeeze(1) - noise).abs().mean()

    return loss


def whole(vocoder: Any, quality: str = "default") -> Synthesise:
    """A bundled vocoder as users call it."""
    return lambda mel, seed: vocoder.generate(mel, seed=seed, quality=quality, mel_kind="own")


@contextlib.contextmanager
def arithmetic(kind: str) -> Iterator[None]:
    """TF32 in products and convolutions for every kind but "float32"; afterwards as before."""
    flags: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [flag.allow_tf32 for flag in flags]
    try:
        for flag in flags:
            flag.allow_tf32 = kind != "float32"
        yield
    finally:
        for flag, value in zip(flags, before):
            flag.allow_tf32 = value


class Bench:
    """What is measured, in order, until the minutes are over; ``rows`` holds the medians."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.device = options, options.device
        self.gpu = self.device.startswith("cuda")
        self.until = time.monotonic() + 60 * options.minutes
        noise = torch.randn(1, 2 * 22050, generator=torch.Generator().manual_seed(0))
        self.mel = log_mel(0.1 * noise, MelConfig())  # as much work as speech
        self.rows: list[dict[str, Any]] = []
        self.left_out: list[str] = []
        self.differences: dict[str, float] = {}
        self.repeats = 2 if options.quick else 10 if self.gpu else 5
        self.kinds = ("float32", "tf32", "bf16") if self.gpu else ("float32", "bf16") if options.quick else ("float32",)

    def run(self) -> None:
        """Everything."""
        sizes = SMALL if self.options.quick else SIZES if self.gpu else {"BASE": BASE}
        for batch in (1, 16) if self.gpu else (1,):
            self.bundled(batch)
            for name, config in sizes.items():
                self.sampling(name, config, batch)
        for name, config in sizes.items():
            self.learning(name, config)

    def time(self, task: str, kind: str, systems: dict[str, Synthesise], asked: Setting, every: bool = True) -> None:
        """Measure ``systems`` in turns, with ``every`` number of threads or only the first, and keep a row of each;
        nothing once the minutes are over."""
        for threads in self.options.threads if every else self.options.threads[:1]:
            about = f"{task}, {kind}, batch {asked.batch}" + (f", {threads} threads" if threads else "")
            if time.monotonic() > self.until:
                self.left_out.append(f"{about}: the minutes were over")
                continue
            told: dict[str, Any] = {"device": self.device, "threads": threads, "repeats": self.repeats}
            with arithmetic(kind):
                made = list(measure(systems, self.mel, [asked], cap=1e9, shortest=1e9, **told))
            for name in systems:
                mine = [record for record in made if record["system"] == name]
                took = [record["took"] for record in mine if record["took"] is not None]
                row = {"task": task, "system": name, "arithmetic": kind, "batch": asked.batch, "threads": threads}
                row |= {key: mine[-1][key] for key in ("seconds", "memory", "error")}
                row |= {"repetitions": len(took), "took": statistics.median(took) if took else None}
                self.rows.append(row)
                print(f"{about}, {name}: {row['error'] or row['took']}", flush=True)

    def sampling(self, name: str, sizes: DiffWaveConfig, batch: int) -> None:
        """DiffWave in six steps beside the public package, once they agree."""
        theirs = make_public(sizes, self.device)
        if theirs is None:
            self.left_out.append("the public network: pip install --no-deps diffwave==0.1.7")
        elif not self.agree(name, ours(make_ours(sizes, self.device)), public(theirs)):
            return
        for kind in self.kinds:
            systems = {} if theirs is None else {"public diffwave": public(theirs, kind)}
            systems["ours"] = ours(make_ours(sizes, self.device), kind)
            if kind != "float32":  # each takes the better part of a minute to compile
                mode = "graphs" if self.gpu and batch == 1 else "compiled"
                systems[f"ours, {mode}"] = ours(make_ours(sizes, self.device, mode), kind)
            self.time(f"{name}, six steps", kind, systems, Setting(batch, self.options.seconds))

    def agree(self, name: str, mine: Synthesise, theirs: Synthesise) -> bool:
        """Whether two waveforms within [-1, 1] from the same noise are the same; their greatest difference is kept."""
        mel = fit_mel(self.mel, 1, min(1.0, self.options.seconds)).to(self.device)
        with arithmetic("float32"), torch.no_grad():
            a, b = mine(mel, 1), theirs(mel, 1)
        difference, size = float((a - b).abs().max()), float(b.abs().max())
        self.differences[name] = difference
        agrees = difference <= 1e-4 and size > 0.1
        if not agrees:
            self.left_out.append(f"{name}: {difference:.2g} away from the public network, and wrong sums have no speed")
        return agrees

    def bundled(self, batch: int) -> None:
        """The bundled vocoders from mel to waveform, at each quality; in bf16 also compiled, and as CUDA graphs."""
        try:
            from tts_diffvoc.checkpoint import load_vocoder
        except ImportError as error:
            self.left_out.append(f"the bundled vocoders: no package {error.name}")
            return
        asked = Setting(batch, 0.1 if self.options.quick else 5.0)
        for name in BUNDLED[:1] if self.options.quick else BUNDLED:
            vocoder: Any = load_vocoder(name, self.device)
            systems = {f"{name}, {quality}": whole(vocoder, quality) for quality in vocoder.qualities}
            self.time("bundled", "float32", systems, asked)
            if "bf16" in self.kinds:
                vocoder.autocast = torch.bfloat16
                compiled, captured = copy.deepcopy(vocoder), copy.deepcopy(vocoder)
                compile_network(compiled.denoiser, "compiled", self.device)
                captured.captures = Captures()
                ways = {"": vocoder, ", compiled": compiled, ", graphs": captured}
                faster = {f"{name}, default{way}": whole(one) for way, one in ways.items()}
                self.time("bundled", "bf16", faster, asked, every=False)

    def learning(self, name: str, sizes: DiffWaveConfig) -> None:
        """Steps of training on crops of the public package's size, beside its own."""
        asked = CROP if self.gpu else Setting(1, 0.2)
        for kind in self.kinds:
            theirs, systems = make_public(sizes, self.device), {}
            if theirs is not None:
                systems["public diffwave"] = training(theirs.train(), public_loss(theirs, self.device), kind)
            for mode in ("eager", "compiled") if self.gpu and kind != "float32" else ("eager",):
                vocoder = make_ours(sizes, self.device, mode).train()
                vocoder.norm, vocoder.autocast = "l1", torch.bfloat16 if kind == "bf16" else None
                systems["ours" if mode == "eager" else "ours, compiled"] = training(vocoder, vocoder.loss, "own")
            self.time(f"{name}, a step of training", kind, systems, asked, every=False)


def table(bench: Bench) -> str:
    """The rows as Markdown, with the ratio to the public network in the same turns."""
    heads = ("what", "arithmetic", "batch", "threads", "system", "ms", "times real time", "against public", "MB")
    lines = [heads, ("---",) * len(heads)]
    keys = ("task", "arithmetic", "batch", "threads")
    base = {tuple(row[k] for k in keys): row["took"] for row in bench.rows if row["system"] == "public diffwave"}
    for row in bench.rows:
        same, took = tuple(row[k] for k in keys), row["took"]
        numbers = [row["error"], "", "", ""]
        if took is not None:
            ratio = base[same] / took if base.get(same) else None
            memory = row["memory"] and row["memory"] / 2**20
            pace = row["batch"] * row["seconds"] / took
            numbers = [f"{1000 * took:.1f}", f"{pace:.1f}", "" if ratio is None else f"{ratio:.2f}"]
            numbers.append("" if memory is None else f"{memory:.0f}")
        lines.append((*same, row["system"], *numbers))
    return "\n".join(f"| {' | '.join('' if cell is None else str(cell) for cell in line)} |" for line in lines)


def write(bench: Bench, command: str) -> None:
    """``bench.json`` and a README with the tables, in the folder that was asked for."""
    cudnn, device = torch.backends.cudnn, device_name(bench.device)
    about: dict[str, Any] = {"command": command, "commit": commit(), "device": device, "torch": torch.__version__}
    about |= {"cudnn": cudnn.version() if bench.gpu else None, "cudnn.benchmark": cudnn.benchmark}
    folder: Path = bench.options.output
    folder.mkdir(parents=True, exist_ok=True)
    values = {**about, "differences": bench.differences, "rows": bench.rows, "left_out": bench.left_out}
    (folder / "bench.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    apart = [f"{name} {difference:.1e}" for name, difference in bench.differences.items()]
    text = f"""# Speed on {device}

`{command}`, PyTorch {torch.__version__}. A figure is the median of {bench.repeats} calls, systems in turns, each
between two waits for the device and after calls that are not timed. float32 has TF32 switched off for products and
convolutions, tf32 on; bf16 is autocast with the rest in TF32; cudnn.benchmark is {cudnn.benchmark}. Memory is the peak
of a call beyond what was there before. Of training, times real time by 22,050 are samples a second. Greatest difference
from the public network, six steps in float32: {"; ".join(apart) or "not measured"}.

{table(bench)}
"""
    if bench.left_out:
        text += "\nLeft out: " + "; ".join(dict.fromkeys(bench.left_out)) + ".\n"
    (folder / "README.md").write_text(text, encoding="utf-8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    there = "cuda" if torch.cuda.is_available() else "cpu"
    add = parser.add_argument
    add("--device", default=there, help="cuda, cuda:N or cpu (default here: %(default)s)")
    add("--threads", type=int, nargs="+", default=[1, 2], help="on a CPU (default: 1 and 2)")
    add("--seconds", type=float, default=None, help="of DiffWave's clip (default: 5, on a CPU 1)")
    add("--minutes", type=float, default=7.0, help="after which nothing is begun (default: 7)")
    add("--quick", action="store_true", help="a small network and two calls: a rehearsal")
    add("--output", type=Path, default=None, help="folder (default: results/gpu or results/cpu)")


def run(options: argparse.Namespace) -> None:
    """Measure, print the table and write it; Failure in the end where a network did not agree."""
    check_device(options.device)
    gpu = options.device.startswith("cuda")
    options.threads = [None] if gpu else options.threads
    options.seconds = options.seconds or (0.25 if options.quick else 5.0 if gpu else 1.0)
    options.output = options.output or Path("results") / ("gpu" if gpu else "cpu")
    bench = Bench(options)
    bench.run()
    write(bench, command_line("python eval/bench.py", options.typed))
    print(table(bench))
    wrong = [name for name, difference in bench.differences.items() if not difference <= 1e-4]
    if wrong:
        raise Failure(f"{', '.join(wrong)}: away from the public network; {options.output} says how far.")
