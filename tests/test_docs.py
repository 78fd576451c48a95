"""The documentation: every command has its page, every page its file, and it builds without a warning."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tts_diffvoc import generators, voices
from tts_diffvoc.cli import build_parser

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs/hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_has_a_page_with_all_its_arguments(hooks):
    pages = hooks.commands()
    help_text = build_parser().format_help()
    assert set(pages) == set(re.search(r"\{(.+?)\}", help_text)[1].split(","))
    assert "| `--vocoder` |" in pages["vocode"] and "| diffwave |" in pages["vocode"]
    assert "| `--quick` |" in pages["compare"]
    for name, page in pages.items():
        assert page.startswith(f"# tts-diffvoc {name}\n") and f"tts-diffvoc {name}" in page.split("```text")[1]
        assert "%(" not in page and "``" not in page.replace("```", "")


def test_every_weight_has_its_licence():
    text = (ROOT / "docs/licences.md").read_text("utf-8")
    told = dict(re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", text, re.M))
    folders = [path.parent for top in ("tts_diffvoc", "eval") for path in (ROOT / top).rglob("model.safetensors")]
    assert {str(folder.relative_to(ROOT)) for folder in folders} == set(told)
    assert len(told) >= len(voices.VOCODERS) + len(generators.GENERATORS)
    for folder, licence in told.items():
        assert voices.card(ROOT / folder)["license"].partition(",")[0] == licence


def test_pages_of_the_navigation_are_there(hooks):
    names = re.findall(r"([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M)
    missing = [name for name in names if not hooks.place(name).is_file()]
    assert len(names) > 20 and not missing
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= set(names)


def test_it_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocstrings", reason="needs the extra docs: make docs installs it")
    command = [sys.executable, "-m", "mkdocs", "build", "-q", "--strict", "-d", str(tmp_path / "site")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    text = (tmp_path / "site/index.html").read_text("utf-8")
    assert "Five ways to use it" in text and 'href="how-it-works.html"' in text
    assert "consistency" in (tmp_path / "site/python.html").read_text("utf-8")
    assert (tmp_path / "site/commands/compare.html").is_file()
