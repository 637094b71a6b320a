"""Writing a described graph: as one HTML file that asks for nothing else, or as a picture."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any

_COLOUR = re.compile(r"(--[\w-]+): light-dark\(((?:[^(),]|\([^()]*\))+), ((?:[^(),]|\([^()]*\))+)\);")

_BROWSERS = "globalThis.structuredClone = (x) => JSON.parse(JSON.stringify(x));"  # what dagre uses and bare V8 has not


def check_name(path: str | PathLike[str]) -> Path:
    """Return the path of a file that can be written; raise ValueError for one whose ending says that it cannot."""
    file = Path(path)
    if file.suffix not in (".html", ".htm", ".svg"):
        raise ValueError(f"the file's name must end with .html or .svg: {str(path)!r}")
    return file


@lru_cache
def _asset(name: str) -> str:
    return files("chainrule.visualization").joinpath("assets", name).read_text(encoding="utf-8")


def html(description: dict[str, Any]) -> str:
    """Return the page of a described graph."""
    parts = {
        "TITLE": _escaped(description["title"]),
        "STYLE": _asset("drawing.css") + _asset("page.css"),
        "LICENCE": _asset("dagre.LICENSE.txt"),
        "DAGRE": _asset("dagre.min.js"),
        "SCRIPT": _asset("drawing.js") + _asset("page.js"),
        "GRAPH": _in_html(description),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _asset("page.html"))


def svg(description: dict[str, Any]) -> str:
    """Return a picture of a described graph, which the page's own script draws.

    Raises
    ------
    ModuleNotFoundError
        If mini-racer, which runs the script, is not installed.
    """
    try:
        from py_mini_racer import MiniRacer
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'a picture is drawn by the script of the page, which mini-racer runs: pip install "chainrule[svg]". '
            "The page itself, an .html file, needs no other package.",
            name=error.name,
        ) from None
    context = MiniRacer()
    context.eval(_BROWSERS + _asset("dagre.min.js") + ";" + _asset("drawing.js") + ";0")
    return str(context.eval(f"drawing.picture({json.dumps(description)}, {json.dumps(picture_style())})"))


def picture_style() -> str:
    """Return the style of a picture: without variables, which many programs that show pictures do not know."""
    text = re.sub(r"/\*.*?\*/\s*", "", _asset("drawing.css"), flags=re.DOTALL)
    colours = {name: either for name, *either in _COLOUR.findall(text)}
    rules = text[text.index("}") + 1 :].strip()
    light, dark = (_coloured(rules, {name: either[i] for name, either in colours.items()}) for i in (0, 1))
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def _coloured(rules: str, colours: dict[str, str]) -> str:
    return re.sub(r"var\((--[\w-]+)\)", lambda found: colours[found[1]], rules)


def _in_html(value: Any) -> str:
    """Return a value as JSON that nothing in HTML can end."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
