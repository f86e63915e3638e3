"""Run the notebooks on this project and keep readable copies, with pictures, in `docs/notebooks/`.

python -m experiments.render_notebooks            # all that are numbered
python -m experiments.render_notebooks 05         # those whose names begin so
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from data.files import atomic_write

__all__ = ["main", "relinked", "render", "tidy"]

NOTEBOOKS, OUTPUT = Path("notebooks"), Path("docs/notebooks")
LARGEST = 1_000_000
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


def render(notebook: Path, output: Path, project: Path, seconds: int = 600) -> Path:
    """Execute a notebook in `project` and write `output/NAME.md` with its pictures in `output/NAME/`.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
        ValueError: the copy would tell a machine's paths, or be larger than `LARGEST` bytes.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import MarkdownExporter
    from traitlets.config import Config

    book = nbformat.read(notebook, as_version=4)
    NotebookClient(book, timeout=seconds, resources={"metadata": {"path": str(project)}}).execute()
    for cell in book.cells:
        # Progress bars and log lines are for whoever waits.
        cell["outputs"] = [one for one in cell.get("outputs", []) if one["output_type"] != "stream"] or [
            one for one in cell.get("outputs", []) if one.get("name") == "stdout"
        ]
    config = Config()
    config.NbConvertBase.display_data_priority = ["text/markdown", "image/png", "text/plain"]
    config.ExtractOutputPreprocessor.output_filename_template = "{unique_key}_{cell_index}_{index}{extension}"
    text, resources = MarkdownExporter(config=config).from_notebook_node(
        book, resources={"unique_key": "picture", "output_files_dir": notebook.stem}
    )
    pictures: dict[str, bytes] = resources.get("outputs", {})
    text = tidy(relinked(text), project)
    size = len(text.encode()) + sum(map(len, pictures.values()))
    if size > LARGEST:
        raise ValueError(
            f"{notebook.name}: the copy has {size} bytes, at most {LARGEST} are wanted; show less"
        )
    shutil.rmtree(output / notebook.stem, ignore_errors=True)
    for name, content in pictures.items():
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    page = output / f"{notebook.stem}.md"
    with atomic_write(page) as handle:
        handle.write(text)
    return page


def relinked(text: str) -> str:
    """Links of a notebook as the copy needs them: two folders deep, and to the other copies."""
    text = re.sub(r"\]\(\.\./", "](../../", text)
    text = re.sub(r"\]\((\d\d-[\w-]+)\.ipynb\)", r"](\1.md)", text)
    return re.sub(r"\]\(([a-z]\w*\.ipynb)\)", r"](../../notebooks/\1)", text)


def tidy(text: str, project: Path) -> str:
    """The copy's text: no colour codes, no port that changes with every run, an empty line at most.

    Raises:
        ValueError: a path of this machine stands in it.
    """
    text = _ADDRESS.sub("http://127.0.0.1:3000", _ANSI.sub("", text))
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in text.splitlines()))
    for place in (project.resolve(), Path.home()):
        if len(place.parts) > 1 and str(place) in text:
            line = next(one for one in text.splitlines() if str(place) in one)
            raise ValueError(f"the copy tells a path of this machine: {line.strip()[:120]}")
    return text.strip() + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run notebooks and write their copies."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names; all numbered ones if left out")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    chosen = [
        path
        for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
        if not options.names or path.name.startswith(tuple(options.names))
    ]
    if not chosen:
        raise SystemExit(f"no notebook in {NOTEBOOKS} begins with {', '.join(options.names)}")
    for path in chosen:
        print(f"{path.name} -> {render(path, options.output, Path.cwd())}", flush=True)


if __name__ == "__main__":
    main()
