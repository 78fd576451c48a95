"""Loading one of our vocoders into Coqui's Synthesizer, beside the acoustic model that is there already."""

from __future__ import annotations

from typing import Any

from TTS.utils.audio import AudioProcessor
from TTS.vocoder.models import setup_model

from tts_diffvoc import voices
from tts_diffvoc.checkpoint import read_config
from tts_diffvoc.coqui import configs, mel_conversion
from tts_diffvoc.coqui.models import split_spec
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.factory import config_from_dict


def load_vocoder(synthesizer: Any, spec: str, use_cuda: bool) -> None:
    """Do what ``Synthesizer._load_vocoder`` does, and fit the mels of its acoustic model to the vocoder.

    Raises: DiffvocError when the two do not fit, or for a bad checkpoint or option.
    """
    plain, approximate = split_spec(spec)
    folder = voices.resolve(voices.parse(plain)[0])
    config = configs.from_core(config_from_dict(read_config(folder)))
    processor = acoustic_processor(synthesizer)
    convert = mel_conversion.converter(processor, configs.mel_config(config), approximate, folder.name)
    model = setup_model(config)
    model.load_checkpoint(config, plain, eval=True)
    model.convert_mel = convert
    synthesizer.vocoder_config = config
    synthesizer.output_sample_rate = config.audio.sample_rate
    synthesizer.vocoder_ap = AudioProcessor(config.audio)
    synthesizer.vocoder_model = model.cuda() if use_cuda else model


def acoustic_processor(synthesizer: Any) -> Any:
    """The AudioProcessor of the acoustic model; DiffvocError when what is loaded predicts no mels."""
    model = synthesizer.tts_model
    processor = getattr(model, "ap", None)
    if not hasattr(processor, "mel_basis") or hasattr(model, "waveform_decoder"):
        kind = type(model or synthesizer.vc_model).__name__
        raise DiffvocError(
            f"the model {kind} predicts no mel spectrogram, so no vocoder fits behind it; "
            f"choose an acoustic model such as {voices.full_name(voices.DEFAULT_ACOUSTIC)}, or leave the vocoder out."
        )
    return processor
