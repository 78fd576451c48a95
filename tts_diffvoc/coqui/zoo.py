"""Which of the names that a user gives to Coqui are ours, and where those models lie."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tts_diffvoc import hub, voices
from tts_diffvoc.errors import DiffvocError, Failure

# The acoustic model to take when the user names none.
DEFAULT_ACOUSTIC = voices.full_name(voices.DEFAULT_ACOUSTIC)
# Names that Coqui and its users give to trained weights; the first that is there counts.
TRAINED = ("model.safetensors", "best_model.pth", "model_file.pth", "model_file.pth.tar", "model.pth", "checkpoint.pth")


def add_entries(models: dict[str, Any]) -> None:
    """List the bundled models in Coqui's nested dictionary of type, language, dataset and model."""
    for name in (*voices.VOCODERS, *voices.ACOUSTIC):
        kind, language, dataset, model = voices.full_name(name).split("/")
        place = models.setdefault(kind, {}).setdefault(language, {}).setdefault(dataset, {})
        place.setdefault(model, voices.model_item(name))


def listed(models: dict[str, Any], kind: str) -> list[str]:
    """Full names of one kind, such as "vocoder_models", in Coqui's dictionary."""
    return [
        f"{kind}/{language}/{dataset}/{model}"
        for language, datasets in models.get(kind, {}).items()
        for dataset, entries in datasets.items()
        for model in entries
    ]


def is_our_vocoder(spec: str | None, models: dict[str, Any] | None = None) -> bool:
    """Whether ``spec`` is one of our vocoders, a checkpoint folder or a repository of the Hub, and not one of Coqui's
    names in ``models``.

    Raises: DiffvocError with the closest names when it is nothing at all.
    """
    if spec is None:
        return False
    name, _ = voices.parse(spec)
    if voices.bundled(name) is not None:
        return True
    if models is None:
        from TTS.utils.manage import ModelManager  # only another name needs Coqui's list

        models = ModelManager().models_dict
    theirs = listed(models, "vocoder_models")
    if name in theirs:
        return False
    if hub.is_repository(name):
        return True
    try:
        voices.resolve(name)
    except DiffvocError:
        known = [*voices.VOCODERS, *theirs, *map(voices.full_name, voices.VOCODERS)]
        raise voices.unknown(name, list(dict.fromkeys(known))) from None
    return True


def is_our_path(path: str | Path | None) -> bool:
    """Whether ``path``, with or without options, leads to a checkpoint of this package."""
    if not path:
        return False
    try:
        return voices.is_vocoder(voices.resolve(voices.parse(str(path))[0]))
    except DiffvocError:
        return False


def locate(spec: str) -> tuple[str, str]:
    """What Coqui passes about as checkpoint and configuration: the folder with the options, and config.json.

    Raises: DiffvocError when the folder is no checkpoint of this package.
    """
    from tts_diffvoc.checkpoint import read_config  # imports torch

    name, _, query = spec.partition("?")
    folder = hub.download(name) if hub.is_repository(name) else voices.resolve(name)
    read_config(folder)
    return f"{folder}?{query}" if query else str(folder), str(folder / "config.json")


def download(name: str) -> tuple[Path, Path, dict[str, Any]] | None:
    """What ``ModelManager.download_model`` returns, for a bundled model; None for other models.

    Raises: DiffvocError for an unknown name among ours.
    """
    plain, mark, query = name.partition("?")
    folder = voices.bundled_acoustic(plain)
    if folder is not None:
        return folder / f"{voices.WEIGHTS}{mark}{query}", folder / "config.json", _item(folder.name)
    if voices.bundled(plain) is not None:
        checkpoint, config = locate(name)
        return Path(checkpoint), Path(config), _item(Path(config).parent.name)
    if plain.startswith((voices.ACOUSTIC_PREFIX, voices.VOCODER_PREFIX)):
        known = [voices.full_name(short) for short in (*voices.VOCODERS, *voices.ACOUSTIC)]
        raise voices.unknown(plain, known, "model")
    return None


def fetch(
    manager: Any, name: str, kinds: Sequence[str] = ("tts_models", "voice_conversion_models")
) -> tuple[Any, Any, Any]:
    """What Coqui's ``download_model`` returns, without the traceback that it logs when the network fails.

    Raises: DiffvocError for a name that is none of ``kinds``, Failure when the model cannot be had.
    """
    known = [model for kind in kinds for model in listed(manager.models_dict, kind)]
    if name not in known and voices.bundled_acoustic(name) is None and "fairseq" not in name:
        raise voices.unknown(name, known, "acoustic model" if "tts_models" in kinds else "vocoder in Coqui's zoo")
    log = logging.getLogger("TTS.utils.manage")
    log.addFilter(_no_error)
    try:
        return manager.download_model(name)
    except OSError as error:  # requests' errors among them
        raise Failure(
            f"the model {name} cannot be downloaded ({type(error).__name__}); the first time needs a network: check "
            f"it, or use what is bundled, such as {DEFAULT_ACOUSTIC}."
        ) from None
    except DiffvocError:
        raise
    except Exception as error:  # of an archive that broke off
        place = Path(manager.output_prefix) / name.replace("/", "--")
        raise DiffvocError(f"{name} is not complete ({error}); delete {place} to have it downloaded anew.") from None
    finally:
        log.removeFilter(_no_error)


def find_trained(path: Path) -> tuple[Path, Path]:
    """Weights and config.json of what Coqui's program trained: those of a folder, or weights beside their config.json.

    Raises: DiffvocError when one of them is missing.
    """
    folder = path if path.is_dir() else path.parent
    config = folder / "config.json"
    if not config.is_file():
        raise DiffvocError(f"{folder} has no config.json; put the one that belongs to the weights there.")
    if path.is_file() and path != config:
        return path, config
    found = [folder / name for name in TRAINED if (folder / name).is_file()]
    found += sorted(folder.glob("*.pth"), key=lambda one: -one.stat().st_mtime)
    if not found:
        raise DiffvocError(f"{folder} holds none of {', '.join(TRAINED)}; give the path of the weights.")
    return found[0], config


def _no_error(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR


def _item(name: str) -> dict[str, Any]:
    return {**voices.model_item(name), "model_type": voices.full_name(name).split("/")[0]}
