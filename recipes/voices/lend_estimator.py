"""Give a trained WaveGlow the magnitude network of a bundled vocoder, so that it can project on its magnitudes.

    PYTHONPATH=. python recipes/voices/lend_estimator.py runs/RUN/vocoder --of diffwave --output FOLDER --card CARD.md
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from tts_diffvoc.checkpoint import load_vocoder, save_checkpoint
from tts_diffvoc.flow import FlowConfig, FlowVocoder

DEFAULTS = {"sigma": 0.6, "project": 60, "consistency": 8}


def lend(flow: FlowVocoder, lender: str) -> FlowVocoder:
    """``flow`` with the magnitude network of ``lender``, and defaults that use it."""
    other = load_vocoder(lender)
    config = flow.config
    assert isinstance(config, FlowConfig)
    made = FlowVocoder(replace(config, estimator=other.config.estimator, defaults=DEFAULTS))
    made.network.load_state_dict(flow.network.state_dict())
    made.estimator.load_state_dict(other.estimator.state_dict())
    return made.eval()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("vocoder", help="folder of the trained WaveGlow")
    parser.add_argument("--of", default="diffwave", help="vocoder that lends its magnitude network")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--card", type=Path, required=True, help="the model card, Markdown")
    options = parser.parse_args()
    vocoder = lend(load_vocoder(options.vocoder), options.of)
    save_checkpoint(vocoder, options.output, options.card.read_text(encoding="utf-8"))
