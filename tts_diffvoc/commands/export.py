"""``tts-diffvoc export``: a vocoder as ONNX graphs, to run without torch."""

from __future__ import annotations

import argparse

from tts_diffvoc.arguments import file_path

HELP = "write a vocoder as ONNX graphs, to run without torch"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("vocoder", help="name or checkpoint folder; options after '?' become the export's defaults")
    parser.add_argument(
        "output", type=file_path, help="folder for a graph a part, or a name in .onnx for one graph, steps fixed"
    )
    parser.add_argument("--int8", action="store_true", help="hold the denoiser of a spectral vocoder in bytes")


def run(options: argparse.Namespace) -> None:
    """Export the vocoder and say what was written; torch is imported here."""
    from tts_diffvoc.checkpoint import load_vocoder
    from tts_diffvoc.onnx.export import export

    for path in export(load_vocoder(options.vocoder), options.output, options.int8):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
