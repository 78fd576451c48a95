"""Pages that are made: the repository's own Markdown as it lies there, and one for each command from its arguments."""

from __future__ import annotations

import argparse
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s:]+)\)")


def commands() -> dict[str, str]:
    """Markdown by command: its description, usage and arguments."""
    from tts_diffvoc.cli import build_parser
    from tts_diffvoc.commands import plugins

    found = next(action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    parsers = dict(found.choices)
    for name, entry in plugins.find().items():
        module = entry.load()
        own = argparse.ArgumentParser(prog=f"tts-diffvoc {name}", description=module.__doc__)
        module.add_arguments(own)
        parsers[name] = own
    helps = {action.dest: action.help for action in found._choices_actions}
    return {name: page(name, parser, helps.get(name)) for name, parser in sorted(parsers.items())}


def page(name: str, parser: argparse.ArgumentParser, said: str | None) -> str:
    """The page of a command."""
    rows = []
    for action in parser._actions:
        words = ", ".join(f"`{word}`" for word in action.option_strings) or f"`{action.metavar or action.dest}`"
        default = action.default if action.default not in (None, False, [], argparse.SUPPRESS) else ""
        choices = f": {', '.join(map(str, action.choices))}" if action.choices else ""
        told = (action.help or "").replace("%(default)s", str(action.default)) + choices
        rows.append(f"| {words} | {told.replace('|', chr(92) + '|')} | {default} |")
    usage = re.sub(r"^usage: ", "", parser.format_usage()).rstrip()
    about = re.sub(r"``", "`", parser.description or f"{said or ''}.")
    table = "\n".join(["| argument | what it is | default |", "| --- | --- | --- |", *rows])
    return f"# tts-diffvoc {name}\n{about}\n\n```text\n{usage}\n```\n\n{table}\n"


def listed(nav: Any) -> Iterator[str]:
    """The files of a navigation."""
    for item in nav if isinstance(nav, list) else nav.values() if isinstance(nav, dict) else [nav]:
        yield from listed(item) if isinstance(item, list | dict) else [item]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Command pages stand for the word "commands"; of the repository's files those that are there."""
    made = [{f"tts-diffvoc {name}": f"commands/{name}.md"} for name in commands()]

    def settle(nav: Any) -> Any:
        if isinstance(nav, dict):
            return {name: made if item == "commands" else settle(item) for name, item in nav.items()}
        if isinstance(nav, list):
            return [settle(item) for item in nav if not isinstance(item, str) or place(item).is_file()]
        return nav

    config.nav = settle(config.nav)
    return config


def place(name: str) -> Path:
    """Where a page's file lies: in docs/, or else in the repository."""
    return ROOT / "docs" / name if (ROOT / "docs" / name).is_file() else ROOT / name


def on_files(files: Files, config: MkDocsConfig) -> Files:
    from mkdocs.structure.files import File

    for name in listed(config.nav):
        if files.get_file_from_path(name) is None and place(name).is_file():
            files.append(File.generated(config, name, abs_src_path=str(place(name))))
            for picture in LINK.finditer(place(name).read_text(encoding="utf-8")):
                there = posixpath.normpath(posixpath.join(posixpath.dirname(name), picture[3]))
                if picture[3].endswith(".png") and (ROOT / there).is_file() and not files.get_file_from_path(there):
                    files.append(File.generated(config, there, abs_src_path=str(ROOT / there)))
    for name, text in commands().items():
        files.append(File.generated(config, f"commands/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links lead to pages; what has no page is named without a link."""
    name = page.file.src_uri
    here = posixpath.dirname(name if place(name).parent != ROOT / "docs" else f"docs/{name}")

    def link(found: re.Match[str]) -> str:
        text = LINK.sub(link, found[2])
        target, _, anchor = found[3].partition("#")
        if not target:
            return found[0]
        there = posixpath.normpath(posixpath.join(here, target)).removeprefix("docs/")
        for known in (there, f"{there}/README.md"):
            if files.get_file_from_path(known) is not None:
                way = posixpath.relpath(known, posixpath.dirname(name) or ".")
                return f"{found[1]}[{text}]({way}{'#' + anchor if anchor else ''})"
        return "" if found[1] else text

    return LINK.sub(link, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Docstrings without the roles of reStructuredText."""
    return re.sub(r":(?:func|class|meth|mod|attr):(?=<code>)", "", html)
