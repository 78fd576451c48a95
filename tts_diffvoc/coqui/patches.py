"""What is changed in Coqui's modules: names of ours are answered here, everything else goes on to Coqui.

CHANGED says what wraps what in which module. What Coqui lacks is told when a user asks for one of our models.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tts_diffvoc import voices
from tts_diffvoc.coqui import arguments, support, zoo
from tts_diffvoc.english import foreign, sentences
from tts_diffvoc.errors import DiffvocError
from tts_diffvoc.files import make_folder, replacing

logger = logging.getLogger("TTS.diffvoc")
OURS = ("diffvoc_acoustic", "diffvoc_forward_tts")  # what our voices call themselves in their configurations


def change(module: ModuleType) -> None:
    """Do to one of Coqui's modules, once it is imported, what CHANGED says; what it lacks is noted in ``support``."""
    for path, around in CHANGED[module.__name__].items():
        owner, _, name = path.rpartition(".")
        try:
            wrap(getattr(module, owner) if owner else module, name, around)
        except AttributeError:
            support.problems.append(f"{module.__name__}.{path}")


def wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Replace ``owner.name`` by ``around(original, *args, **kwargs)``, once."""
    original = getattr(owner, name)
    if getattr(original, "diffvoc", False):
        return

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return around(original, *args, **kwargs)

    wrapper.diffvoc = True  # type: ignore[attr-defined]
    setattr(owner, name, wrapper)


# TTS.utils.manage: the list of models


def _init_manager(original: Callable[..., None], self: Any, *args: Any, **kwargs: Any) -> None:
    original(self, *args, **kwargs)
    zoo.add_entries(self.models_dict)


def _download_model(original: Callable[..., Any], self: Any, model_name: str) -> Any:
    return zoo.download(model_name) or original(self, model_name)


def _model_info(original: Callable[..., None], self: Any, model_query_name: str) -> None:
    short = model_query_name in voices.VOCODERS or model_query_name in voices.ACOUSTIC
    original(self, voices.full_name(model_query_name) if short else model_query_name)


# TTS.api: the choice of models


def _init_api(original: Callable[..., None], self: Any, model_name: str | None = "", **kwargs: Any) -> None:
    vocoder_name = kwargs.get("vocoder_name")
    if zoo.is_our_vocoder(vocoder_name):
        support.check()
        if not kwargs.get("vocoder_path"):  # in Coqui a path wins over a name
            kwargs["vocoder_path"], kwargs["vocoder_config_path"] = zoo.locate(vocoder_name)
        if not model_name and not kwargs.get("model_path"):
            model_name = zoo.DEFAULT_ACOUSTIC
            logger.info("Using the bundled acoustic model %s; model_name chooses another.", model_name)
    original(self, model_name, **kwargs)


def _download_pair(original: Callable[..., Any], self: Any, model_name: str, vocoder_name: str | None = None) -> Any:
    """As Coqui's, which forgets the vocoder when the acoustic model has no default one."""
    if vocoder_name is not None and zoo.is_our_vocoder(vocoder_name):
        vocoder, config = zoo.locate(vocoder_name)
    elif zoo.is_our_path(self.vocoder_path):
        vocoder, config = self.vocoder_path, self.vocoder_config_path
    else:
        return original(self, model_name, vocoder_name)
    support.check()
    return *zoo.fetch(self.manager, model_name)[:2], vocoder, config


# TTS.utils.synthesizer: from text to samples


def _any_ours(*models: Any) -> bool:
    """Whether one of the models is of this package; an acoustic model that is knows English alone."""
    return any(type(model).__module__.startswith("tts_diffvoc.") for model in models)


def _load_tts(original: Callable[..., None], self: Any, checkpoint: Path, config: Any = None, **kwargs: Any) -> None:
    """As Coqui's; whatever a damaged configuration of one of our voices makes it raise is said in a sentence."""
    path = Path(config or (checkpoint if checkpoint.is_dir() else checkpoint.parent) / "config.json")
    if voices.read_json(path).get("model") not in OURS:
        return original(self, checkpoint, config, **kwargs)
    try:
        return original(self, checkpoint, config, **kwargs)
    except DiffvocError:
        raise
    except Exception as error:
        raise DiffvocError(
            f"{path} is no configuration of a voice ({type(error).__name__}); give the one beside its weights."
        ) from None


def _load_vocoder(
    original: Callable[..., None], self: Any, model_file: str, model_config: str, *, use_cuda: bool = False
) -> None:
    if not zoo.is_our_path(model_file):
        return original(self, model_file, model_config, use_cuda=use_cuda)
    from tts_diffvoc.coqui import synthesis

    synthesis.load_vocoder(self, model_file, use_cuda)
    return None


def _run_vocoder(original: Callable[..., Any], self: Any, mel_postnet_spec: Any, vocoder_device: Any) -> Any:
    convert = getattr(self.vocoder_model, "convert_mel", None)
    if convert is None:
        return original(self, mel_postnet_spec, vocoder_device)
    return self.vocoder_model.inference(convert(mel_postnet_spec).to(vocoder_device))


def _split_into_sentences(original: Callable[..., list[str]], self: Any, *args: Any, **kwargs: Any) -> list[str]:
    """Leave out sentences of which nothing can be spoken, of which an acoustic model makes noise; cut endless ones."""
    found = original(self, *args, **kwargs)
    if not _any_ours(self.tts_model, self.vocoder_model):
        return found
    speakable = foreign.speakable if _any_ours(self.tts_model) else lambda part: any(c.isalnum() for c in part)
    return [part for s in found for part in sentences.parts(s) if speakable(part)]


def _tts(original: Callable[..., Any], self: Any, text: str = "", *args: Any, **kwargs: Any) -> Any:
    """Refuse what cannot be spoken, and warn of what an English voice leaves out or would read as English."""
    english = _any_ours(self.tts_model)
    if (english or _any_ours(self.vocoder_model)) and not kwargs.get("source_wav"):
        arguments.check_text(text, english)
        for remark in foreign.remarks(text) if english else ():
            logger.warning(remark)
    return original(self, text, *args, **kwargs)


def _save_wav(original: Callable[..., None], self: Any, wav: Any, path: Any, pipe_out: Any = None) -> None:
    """Write beside and rename, so that a failure leaves no half file."""
    if not _any_ours(self.tts_model, self.vocoder_model) or not isinstance(path, (str, os.PathLike)):
        return original(self, wav, path, pipe_out)
    path = Path(path).resolve()  # a link stays one
    if path.exists() and not path.is_file() and not path.is_dir():  # a device or a pipe
        return original(self, wav, path, pipe_out)
    make_folder(path.parent)
    with replacing(path) as beside:
        original(self, wav, beside, pipe_out)
    return None


# The programs


def _main(original: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    with arguments.spoken_errors(), arguments.watched():
        original(*args, **kwargs)


def run_server(execute: Callable[[], None], module: ModuleType) -> None:
    """``tts-server``, which reads its command line and loads its models while it is imported."""
    with arguments.spoken_errors(), arguments.watched():
        execute()
    if hasattr(module, "app"):
        module.app.register_error_handler(DiffvocError, lambda error: ({"error": str(error)}, 400))
        module.app.before_request(lambda: _check_request(module.api.synthesizer))


def _check_request(synthesizer: Any) -> None:
    """Raise DiffvocError for a text that cannot be spoken, before /api/tts, which answers 500 to any error within."""
    from flask import request

    if request.path == "/api/tts" and _any_ours(synthesizer.tts_model, synthesizer.vocoder_model):
        text = request.headers.get("text") or request.values.get("text", "")
        if text.strip():
            arguments.check_text(text, _any_ours(synthesizer.tts_model))


CHANGED: dict[str, dict[str, Callable[..., Any]]] = {
    "TTS.utils.manage": {
        "ModelManager.__init__": _init_manager,
        "ModelManager.download_model": _download_model,
        "ModelManager.model_info_by_full_name": _model_info,
    },
    "TTS.utils.synthesizer": {
        "Synthesizer._load_tts": _load_tts,
        "Synthesizer._load_vocoder": _load_vocoder,
        "Synthesizer._run_vocoder": _run_vocoder,
        "Synthesizer.split_into_sentences": _split_into_sentences,
        "Synthesizer.tts": _tts,
        "Synthesizer.save_wav": _save_wav,
    },
    "TTS.api": {"TTS.__init__": _init_api, "TTS.download_model_by_name": _download_pair},
    "TTS.bin.synthesize": {"main": _main},
}
