"""Write the API reference, from the docstrings, as pages of HTML: every public name by PyTorch's chapters, and a search.

python scripts/write_reference.py [FOLDER]     build/reference if not given; half a minute; needs pdoc (`pip install pdoc`)

What a function supports is read from the matrix of checks, ``docs/compositions.md``. A cross reference such as
``:func:`name``` that leads to nothing, or a public name without a docstring, is an error, and nothing is written.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import types
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import chainrule as cr
from chainrule.functions import late

ROOT = Path(__file__).parents[1]
PAGES: dict[str, tuple[str, ...]] = {
    "Tensors and functions": ("chainrule", "linalg", "fft", "special", "signal.windows", "masked", "random"),
    "Derivatives": (
        "autograd", "autograd.forward_ad", "autograd.functional", "autograd.function", "autograd.graph",
        "autograd.anomaly_mode", "autograd.profiler", "func",
    ),
    "Networks": (
        "nn", "nn.functional", "nn.init", "nn.parameter", "nn.attention", "nn.grad", "nn.utils", "nn.utils.parametrizations",
        "nn.utils.parametrize", "nn.utils.prune", "nn.utils.rnn", "nn.utils.stateless",
    ),
    "Training": (
        "compiler", "optim", "optim.lr_scheduler", "optim.swa_utils", "utils.data", "utils.checkpoint", "amp", "serialization",
        "serialization.safetensors", "distributions",
    ),
    "Extending and testing": ("library", "overrides", "testing"),
}  # fmt: skip
"""The modules that have a page, by chapter, without the package's name."""
NOT_HERE = {
    "cuda": "what it says of GPUs is that there is none", "torch": "the look-alike has the same names",
    "return_types": "tuples that functions return", "utils": "its modules have pages", "signal": "its module has a page",
    "nn.common_types": "types for annotations", "nn.modules": "its names are those of nn",
    "nn.parallel": "networks on several GPUs, of which there is none",
}  # fmt: skip
"""Public modules without a page, and why."""
CHAPTERS = {
    "creation": "Creation", "random": "Random numbers", "shaping": "Shapes and joining", "indexing": "Indexing",
    "pointwise": "Pointwise", "reduction": "Reductions", "comparison": "Comparison and order", "linalg": "Linear algebra",
    "spectral": "Spectral", "nn": "Layers", "interop": "Arrays of other libraries", "in_place": "In place",
    "": "Tensors, dtypes and modes",
}  # fmt: skip
"""The chapters of the top level, by the folder of the rule book or of the functions in which a function is."""
COLUMNS = {
    "vjp": "reverse mode", "jvp": "forward mode", "vmap": "vmap", "jet": "Taylor mode", "trace": "tracing",
    "complex": "complex numbers", "in-place": "in place", "out": "out=",
    "compiled": "compile",
}  # fmt: skip
REFERENCE = re.compile(r":(?:py:)?(?:func|meth|class|mod|attr|data|obj|exc):`~?([^`]+)`")
PLAIN = ("", "nn.functional", "linalg", "special", "fft", "signal.windows")  # modules of functions that the matrix knows


def module(name: str) -> types.ModuleType:
    """Return a module of PAGES."""
    return cr if name == "chainrule" else import_module(f"chainrule.{name}")


def public_names(page: types.ModuleType) -> list[str]:
    """Return the public names of a module that are no modules."""
    listed = getattr(page, "__all__", None) or [name for name in dir(page) if name[0] != "_"]
    return [name for name in listed if not inspect.ismodule(getattr(page, name))]


def documented() -> Iterator[tuple[str, Any, list[Any]]]:
    """Yield each public thing: its full name, itself, and where names in its docstring are looked for."""
    for name in [name for names in PAGES.values() for name in names]:
        page = module(name)
        yield page.__name__, page, [page]
        for member in public_names(page):
            value = getattr(page, member)
            yield f"{page.__name__}.{member}", value, [page]
            if isinstance(value, type) and value.__module__.startswith("chainrule."):
                for inner in vars(value):
                    if inner[0] != "_":
                        yield f"{page.__name__}.{member}.{inner}", getattr(value, inner), [value, page]


def docstring(name: str, value: Any, place: Any) -> str:
    """Return a docstring; of what a class overrides without one, that of the base, whose attributes its own docstring tells."""
    bases = place.__mro__ if isinstance(place, type) else ()
    inherited = [base if name in inspect.get_annotations(base) else vars(base).get(name) for base in bases]
    return inspect.getdoc(value) or next((text for x in inherited if x is not None and (text := inspect.getdoc(x))), "")


def leads_somewhere(target: str, places: list[Any]) -> bool:
    """Tell whether a cross reference names something: in its class, its module, the top level, or by its full name."""
    target = target.removesuffix("()")
    for place in (*places, cr):
        try:
            functools.reduce(getattr, target.split("."), place)
        except AttributeError:
            continue
        return True
    parts = target.split(".")
    for split in range(len(parts), 0, -1):
        try:
            functools.reduce(getattr, parts[split:], import_module(".".join(parts[:split])))
        except (ImportError, AttributeError):
            continue
        return True
    return False


def faults() -> list[str]:
    """Return what is wrong with the docstrings, a line each."""
    late.load()
    found = []
    for name, value, places in documented():
        text = docstring(name.rpartition(".")[2], value, places[0])
        if not text and (inspect.isroutine(value) or isinstance(value, (type, property))):
            found.append(f"{name} has no docstring")
        found += [f"{name}: :…:`{t}` leads nowhere" for t in REFERENCE.findall(text) if not leads_somewhere(t, places)]
    return found


@functools.cache
def matrix() -> dict[str, str]:
    """Return what the matrix of checks says of each op and function: the columns in which all checks hold."""
    found, columns = {}, []
    for line in (ROOT / "docs" / "compositions.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if cells[:2] == ["kind", "name"]:
            columns = cells
        elif cells[:1] in (["op"], ["function"]):
            marks = dict(zip(columns, cells, strict=True))
            found[cells[1].strip("`")] = ", ".join(words for key, words in COLUMNS.items() if marks[key].startswith("✓"))
    return found


def transforms(doc: Any) -> str:
    """Return in what a function or method is checked, for pdoc's object of it; "" if the matrix has no row of it."""
    if doc.kind != "function":
        return ""
    home = doc.modulename.removeprefix("chainrule").lstrip(".")
    if home not in PLAIN or (doc.qualname != doc.name and not doc.qualname.startswith("Tensor.")):
        return ""
    op = getattr(doc.obj, "op", None)
    names = [f"{home}.{doc.name}", doc.name, doc.name.removesuffix("_"), getattr(op, "name", ""), doc.obj.__name__]
    return next((matrix()[name] for name in names if name in matrix()), "")


def chapter(doc: Any) -> str:
    """Return the chapter of a name of the top level, for pdoc's object of it."""
    value = doc.obj
    op = getattr(value, "op", None)
    home = op.about.home if op is not None else getattr(value, "__module__", None) or ""
    parts = home.split(".")
    if isinstance(value, type) or parts[0] != "chainrule":
        return ""
    if parts[1:2] == ["nn"]:
        return "nn"
    return parts[2] if parts[1:2] in (["functions"], ["ops"]) and len(parts) > 2 and parts[2] in CHAPTERS else ""


def chapters(page: Any) -> list[tuple[str, list[Any]]]:
    """Return the members of a page, in chapters with titles if it is the top level's."""
    members = [m for m in page.flattened_own_members if m.kind != "module"]
    if page.modulename != "chainrule":
        return [("", members)]
    grouped: dict[str, list[Any]] = {key: [] for key in CHAPTERS}
    for m in members:
        grouped[chapter(m)].append(m)
    return [(CHAPTERS[key], grouped[key]) for key in CHAPTERS if grouped[key]]


def write(folder: Path) -> None:
    """Write all pages."""
    import pdoc.doc
    import pdoc.render

    warnings.simplefilter("error")  # among them what pdoc does not find
    for words in ("Error parsing type annotation", "Error processing type stub"):  # where a class has a method named float
        warnings.filterwarnings("ignore", words)
    pages = {}
    for page in [module(name) for names in PAGES.values() for name in names]:
        for name in public_names(page):  # pdoc asks for no name that is read late
            setattr(page, name, getattr(page, name))
        pages[page.__name__] = pdoc.doc.Module(page)
    pdoc.render.configure(docformat="numpy", show_source=False, template_directory=ROOT / "scripts" / "reference")
    pdoc.render.env.filters |= {"transforms": transforms, "chapters": chapters}
    titles = {title: [module(name).__name__ for name in names] for title, names in PAGES.items()}
    pdoc.render.env.globals["pages"] = titles
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in pages.items():
        target = folder / f"{name.replace('.', '/')}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(pdoc.render.html_module(page, pages), "utf-8")
    (folder / "index.html").write_text(pdoc.render.html_index(pages), "utf-8")
    (folder / "search.js").write_text(pdoc.render.search_index(pages), "utf-8")


if __name__ == "__main__":
    wrong = faults()
    if wrong:
        sys.exit("\n".join(wrong))
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "reference"
    write(target)
    print(f"{target}/index.html: {sum(1 for _ in documented()):,} names on {sum(map(len, PAGES.values()))} pages")
