"""Write a vocoder as ONNX graphs that hold no complex numbers, for any batch and any number of frames."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from tts_diffvoc.diffusion.bridge import restart_levels
from tts_diffvoc.diffusion.samplers import SAMPLERS
from tts_diffvoc.diffusion.schedules import NoiseSchedule
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import AnyVocoder
from tts_diffvoc.files import check_writable, make_folder, replacing, write_beside
from tts_diffvoc.mel import limits
from tts_diffvoc.onnx import graphs
from tts_diffvoc.onnx.runtime import CONFIG, FORMAT, METADATA
from tts_diffvoc.spectral.vocoder import SpectralVocoder
from tts_diffvoc.vocoder import Vocoder

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

OPSET = 18
WEIGHTS = 2**28  # numbers in one weight, at most
LEVELS = 8  # of the first steps of a spectral vocoder that are told apart


def export(vocoder: AnyVocoder, output: str | Path, int8: bool = False) -> list[Path]:
    """Write ``vocoder`` to ``output``; its defaults, from "NAME?steps=6&quality=best", become those of the export.

    Args:
        output: a folder for a graph a part, with config.json and README.md, whose host runs the sampler's loop; or a
            file that ends in .onnx for one graph of everything, in as many steps as the vocoder's default.
        int8: hold the matrices of a spectral vocoder's denoiser in bytes, see :func:`to_int8`; for a folder.

    Returns: what was written.
    Raises: DiffvocError for a vocoder or sampler that is no loop of evaluations, for a place that cannot be written,
        and where onnx or onnxscript is not installed.
    """
    output = Path(output)
    if not isinstance(vocoder, SpectralVocoder | Vocoder):
        raise DiffvocError(f"{vocoder.name} is a {vocoder.config.network}, which cannot be exported; give a diffusion.")
    whole = output.suffix == ".onnx"
    if int8 and (whole or isinstance(vocoder, Vocoder)):
        raise DiffvocError(f"{output} cannot be in int8, which is for the folder of a spectral vocoder; leave it out.")
    _check_installed()
    settings: dict[str, Any] = {
        "format": FORMAT,
        "name": vocoder.name,
        "seed": vocoder.defaults.get("seed"),
        "mel": vocoder.mel_config.to_dict(),
        "limits": [limit.flatten().tolist() for limit in limits(vocoder.mel_config)],
    }
    traced = _traceable(vocoder)
    if whole:
        check_writable(output)
        settled = traced._settle()
        settings |= {"draws": graphs.draws(traced, settled), "options": []}
        function = partial(graphs.whole, settings=settled, values=settings["draws"])
        model = _trace(traced, function, ["mel", "noise"], ["waveform"])
        model.metadata_props.add(key=METADATA, value=json.dumps(settings))
        _write(model, output)
        return [output]
    settings |= _settings(vocoder)
    make_folder(output)
    models = _parts(traced)
    if int8:
        models["denoise"] = to_int8(models["denoise"])
    settings["graphs"] = list(models)
    for name, model in models.items():
        _write(model, output / f"{name}.onnx")
    write_beside(output / "README.md", _readme(vocoder.name, settings, models))
    write_beside(output / CONFIG, json.dumps(settings, indent=1) + "\n")  # last: without it there is no vocoder
    return [*(output / f"{name}.onnx" for name in models), output / "README.md", output / CONFIG]


def to_int8(denoiser: ModelProto) -> ModelProto:
    """The graph of a spectral denoiser with its matrices in int8, a scale a column; activations are quantised as they
    come (ONNX Runtime's dynamic quantisation). The transforms stay float32, and so does what is no matrix product."""
    import onnx
    from onnxruntime.quantization import quantize_dynamic

    exact = [node.name for node in denoiser.graph.node if any("transform" in name for name in node.input)]
    with TemporaryDirectory() as folder, _quiet():
        path = Path(folder, "denoise.onnx")
        options = {"MatMulConstBOnly": True}
        quantize_dynamic(denoiser, path, ["MatMul"], per_channel=True, nodes_to_exclude=exact, extra_options=options)
        return onnx.load(path)


def plan(schedule: NoiseSchedule, sampler: str) -> list[list[float]]:
    """The steps of a sampler as numbers: noise level, keep, take and renew: x <- keep x + take x0 + renew noise.

    Raises: DiffvocError for a sampler that needs the x0 of the step before.
    """
    steps = list(SAMPLERS[sampler](schedule))
    if any(step.recall for step in steps):
        raise DiffvocError(f"sampler={sampler} cannot be exported to a folder; export with another, or one file.")
    return [[step.level, step.keep, step.take, step.renew] for step in steps]


def _settings(vocoder: SpectralVocoder | Vocoder) -> dict[str, Any]:
    """What the host of a folder must know beside the graphs and what every export tells."""
    defaults = vocoder.defaults
    if isinstance(vocoder, Vocoder):
        steps, sampler = defaults.get("steps", 6), defaults.get("sampler", "ddpm")
        counts = sorted({steps, *vocoder.config.inference})
        plans = {str(count): plan(vocoder.inference_schedule(count), sampler) for count in counts}
        return {"options": ["steps"], "steps": steps, "plans": plans}
    return {
        "options": ["steps", "consistency", "quality"],
        "quality": defaults.get("quality", "default"),
        "qualities": {quality: vocoder._settle(quality=quality)._asdict() for quality in vocoder.qualities},
        "levels": list(restart_levels(LEVELS)),
        "draws": graphs.draws(vocoder),
    }


def _traceable(vocoder: Any) -> Any:
    """A copy of a vocoder whose transform has no complex numbers, and whose search of pitch no loop."""
    vocoder = copy.deepcopy(vocoder).cpu().eval().requires_grad_(False)
    vocoder.autocast = None
    if isinstance(vocoder, Vocoder):
        vocoder.config.schedule.noise_levels  # noqa: B018  cached here, or it would become part of the graph
    else:
        vocoder.transform = graphs.ProductTransform(vocoder.transform.n_fft, vocoder.transform.hop)
        vocoder.pitch.search = graphs.viterbi
    return vocoder


def _parts(vocoder: SpectralVocoder | Vocoder) -> dict[str, ModelProto]:
    """The graphs of a folder by name."""
    if isinstance(vocoder, Vocoder):
        published = partial(graphs.published, speaker=vocoder._settle().speaker)
        return {"denoise": _trace(vocoder, published, ["x", "noise_level", "mel"], ["x0"])}
    told = ["magnitude", "spectrum", "hidden"]
    made_consistent = ["next_state", "next_x0"]
    return {
        "prior": _trace(vocoder, graphs.prior, ["mel", "noise"], ["x0", "z", *told]),
        "denoise": _trace(vocoder, graphs.denoise, ["z", "noise_level", *told], ["x0", "next_z"]),
        "decode": _trace(vocoder, SpectralVocoder.decode, ["x0", "magnitude"], ["waveform"]),
        "consistency": _trace(
            vocoder, SpectralVocoder.make_consistent, ["state", "x0", "magnitude", "mel"], made_consistent
        ),
    }


def _trace(
    vocoder: SpectralVocoder | Vocoder, function: Callable[..., Any], inputs: list[str], outputs: list[str]
) -> ModelProto:
    """The graph of ``function`` of the vocoder and inputs, checked, without the tracer's notes on its own files."""
    import onnx
    from onnx_ir import to_proto
    from onnxscript.optimizer import optimize

    batch, frames = torch.export.Dim("batch"), torch.export.Dim("frames", min=4)
    mel, spectral = vocoder.config.mel, isinstance(vocoder, SpectralVocoder)
    bins, samples = mel.n_fft // 2 + 1, mel.hop_length * frames
    sizes = {batch: 2, frames: 11, samples: 11 * mel.hop_length}
    shapes: dict[str, tuple[Any, ...]] = {
        "mel": (batch, mel.n_mels, frames),
        "noise": (batch, frames, sum(graphs.draws(vocoder))),
        "noise_level": (batch,),
        "magnitude": (batch, frames, bins),
        "hidden": (batch, frames, vocoder.config.sizes.channels if spectral else 0),
        "x": (batch, samples),
        **dict.fromkeys(("z", "x0", "state", "spectrum"), (batch, frames, 2, bins)),
    }
    # An s of sqrt(1 - a^2) is worth float64; a bridge's levels are plain shares.
    types = {} if spectral else {"noise_level": torch.float64}
    given = tuple(
        torch.full([sizes.get(size, size) for size in shapes[name]], 0.5, dtype=types.get(name)) for name in inputs
    )
    symbols = tuple({i: size for i, size in enumerate(shapes[name]) if size in sizes} for name in inputs)
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            graphs.Part(vocoder, function).eval(),
            given,
            dynamo=True,
            dynamic_shapes=(symbols,),
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            optimize=False,
            verbose=False,
        )
    assert program is not None
    # The exporter's own limits leave it to each run to transpose the larger weights.
    model = to_proto(optimize(program.model, input_size_limit=WEIGHTS, output_size_limit=WEIGHTS))
    _strip(model.graph)
    onnx.checker.check_model(model, full_check=True)
    return model


def _strip(graph: GraphProto) -> None:
    del graph.metadata_props[:]
    del graph.value_info[:]
    for node in graph.node:
        del node.metadata_props[:]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip(attribute.g)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on what it has skipped and renamed."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _write(model: ModelProto, path: Path) -> None:
    with replacing(path) as beside:
        beside.write_bytes(model.SerializeToString())


def _check_installed() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise DiffvocError(f"to export needs {error.name}; install it with pip install tts-diffvoc[onnx].") from None


SPECTRAL_LOOP = """\
x0, z, magnitude, spectrum, hidden = prior(mel, noise)     # noise: unit Gaussian
for step in range(steps):
    level = levels[min(step, len(levels) - 1)]             # of config.json, for each row of the batch
    x0, z = denoise(z, level, magnitude, spectrum, hidden)
state = x0
for _ in range(consistency):
    state, x0 = consistency(state, x0, magnitude, mel)
waveform = decode(x0, magnitude)
waveform = waveform / max(1, peak of each row)"""
PUBLISHED_LOOP = """\
x = noise()                                                # unit Gaussian
for level, keep, take, renew in plans[steps]:              # of config.json
    x = keep * x + take * denoise(x, level, mel) + renew * noise()
waveform = x / max(1, peak of each row)"""


def _readme(name: str, settings: dict[str, Any], models: dict[str, ModelProto]) -> str:
    rows = [
        f"| `{graph}.onnx` | {_signature(model.graph.input)} | {_signature(model.graph.output)} |"
        for graph, model in models.items()
    ]
    mel = settings["mel"]
    return f"""\
# {name} as ONNX
A diffusion vocoder, from log-mel spectrograms to audio of {mel["sample_rate"]:,} Hz, exported by tts-diffvoc:
float32, opset {OPSET}, any batch, any number of frames. `config.json` has the mel's settings and the loop's numbers.

| graph | inputs | outputs |
| --- | --- | --- |
{chr(10).join(rows)}

```
{PUBLISHED_LOOP if "plans" in settings else SPECTRAL_LOOP}
```
In Python, with numpy and onnxruntime and without torch:
```python
from tts_diffvoc.onnx import OnnxVocoder

vocoder = OnnxVocoder("{name}-onnx")                        # this folder
waveform = vocoder.generate(mel, seed=0)                   # [B, {mel["n_mels"]}, F] -> [B, F * {mel["hop_length"]}]
```
"""


def _signature(values: Any) -> str:
    from onnx import TensorProto

    told = []
    for value in values:
        kind = value.type.tensor_type
        shape = ", ".join(size.dim_param or str(size.dim_value) for size in kind.shape.dim)
        told.append(f"`{value.name}` [{shape}]" + (" float64" if kind.elem_type == TensorProto.DOUBLE else ""))
    return ", ".join(told)
