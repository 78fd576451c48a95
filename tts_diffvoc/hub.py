"""Vocoders from and to the Hugging Face Hub, by the conventions of huggingface_hub's mixin."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any, TypeVar

from tts_diffvoc.errors import DiffvocError, Failure
from tts_diffvoc.files import reason

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
CARD = """# {name}
A {network} vocoder: {mel.n_mels} log-mel bands from {mel.fmin:g} to {mel.fmax:g} Hz, hop {mel.hop_length}, to speech at
{mel.sample_rate} Hz.

```python
import tts_diffvoc

vocoder = tts_diffvoc.load_vocoder("{name}")
mel = vocoder.mel(samples)                # [B, T] in [-1, 1] -> [B, {mel.n_mels}, F], natural log
waveform = vocoder.generate(mel, seed=0)  # -> [B, F * {mel.hop_length}]
```
"""
Self = TypeVar("Self", bound="HubMixin")


def is_repository(name: str) -> bool:
    """Whether ``name`` has the Hub's form, org/name, and cannot mean a folder here."""
    return REPOSITORY.fullmatch(name) is not None and not Path(name).parent.exists()


def _library() -> Any:
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        raise DiffvocError("the Hub needs huggingface_hub; pip install 'tts-diffvoc[hub]'.") from None
    return huggingface_hub


def download(name: str, **options: Any) -> Path:
    """The checkpoint folder of the repository ``name`` in huggingface_hub's cache, filled if need be.

    ``options`` are revision, cache_dir, force_download, local_files_only and token, as huggingface_hub has them.

    Raises: Failure when there is no such repository or revision, or it can't be reached and is not in the cache.
    """
    try:
        library = _library()
    except DiffvocError as error:
        raise DiffvocError(f"{name} is no folder here, and {error}") from None
    try:
        return Path(library.snapshot_download(name, allow_patterns=["config.json", "*.safetensors", "*.md"], **options))
    except (OSError, ValueError) as error:
        said = reason(error).strip(".")
        raise Failure(f"{name} is no folder here and cannot be had from the Hub ({said}); check the name.") from None


class HubMixin:
    """What vocoders have in common with other models of the Hub; ``card`` is the README.md that one came with."""

    name: str
    config: Any
    card: str

    @classmethod
    def from_pretrained(cls: type[Self], name: str | Path, *, device: str = "cpu", **options: Any) -> Self:
        """The vocoder of a name, folder or repository, by ``load_vocoder``; ``options`` are those of `download`.

        Raises: DiffvocError for whatever load_vocoder refuses, and for a vocoder of another class.
        """
        from tts_diffvoc.checkpoint import load_vocoder

        vocoder = load_vocoder(name, device, **options)
        if not isinstance(vocoder, cls):
            raise DiffvocError(f"{name} is a {type(vocoder).__name__}, not a {cls.__name__}; use load_vocoder.")
        return vocoder

    def save_pretrained(
        self, save_directory: str | Path, *, repo_id: str | None = None, push_to_hub: bool = False, **options: Any
    ) -> str | None:
        """Write weights (float32), configuration and card; with ``push_to_hub`` upload them too, by its options."""
        import torch

        from tts_diffvoc.checkpoint import save_checkpoint

        folder = Path(save_directory)
        save_checkpoint(self, folder, self._card(repo_id or self.name), torch.float32)  # type: ignore[arg-type]
        return self.push_to_hub(repo_id or folder.name, **options) if push_to_hub else None

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        **options: Any,
    ) -> str:
        """Upload the vocoder to a repository, made if need be; ``options`` go to ``HfApi.upload_folder``.

        Returns: the commit's address.
        """
        api = _library().HfApi(token=token)
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, repo_id=repo_id)
            return str(api.upload_folder(repo_id=repo_id, folder_path=folder, revision=branch, **options))

    def _card(self, name: str) -> str:
        """The card that there is, or a new one, with what it lacks of the metadata by which the Hub finds it."""
        library, network = _library(), self.config.network
        text = self.card or CARD.format(name=name, network=network, mel=self.config.mel)
        card = library.ModelCard(text if text.startswith("---") else f"---\n{{}}\n---\n{text}")
        tags = ["vocoder", "speech", "flow" if network == "waveglow" else "diffusion", network]
        facts = {"library_name": "tts-diffvoc", "pipeline_tag": "audio-to-audio", "tags": tags, **card.data.to_dict()}
        if "license" in facts:
            facts["license"] = facts["license"].lower()  # the Hub knows no other
        card.data = library.ModelCardData(**facts)
        return str(card)
