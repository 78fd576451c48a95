"""Print the registry as the Markdown table of results/README.md: ``python -m tts_diffvoc_eval.metrics``."""

from __future__ import annotations

from tts_diffvoc_eval.metrics import BUNDLED


def table() -> str:
    """One row a bundled metric."""
    lines = [
        "| metric | unit | better | what it means | what it cannot tell | quick |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for m in BUNDLED:
        quick = "yes" if m.quick else ""
        lines.append(f"| {m.label} (`{m.name}`) | {m.unit} | {m.better} | {m.meaning} | {m.limits} | {quick} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
