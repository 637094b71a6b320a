"""The command line: ``chainrule demo``, ``info``, ``cache``; ``run`` and ``graph`` for programs written for PyTorch, or not."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import chainrule


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="chainrule", description="Automatic differentiation as PyTorch does it, in Python on NumPy."
    )
    made.add_argument("--version", action="version", version=f"chainrule {chainrule.__version__}")
    commands = made.add_subparsers(dest="command", metavar="command")
    demo = commands.add_parser(
        "demo",
        help="train a small network on handwritten digits and check a gradient three ways",
        description="Train a small network on scikit-learn's handwritten digits, run the example of the README, and check one "
        "gradient by reverse mode, forward mode and central differences. Exits with 1 if the network is right on fewer than "
        "96 %% of the images it has not seen, or if the three gradients differ.",
    )
    demo.add_argument("--epochs", type=_count, default=60, help="passes over the training images (default: 60)")
    demo.add_argument("--seed", type=int, default=0, help="seed of the split and of the training (default: 0)")
    demo.add_argument("--no-progress", action="store_true", help="print a line now and then instead of a live bar")
    commands.add_parser(
        "info",
        help="show versions, the BLAS in use, and which optional parts are installed",
        description="Show versions, the BLAS in use, and which optional parts are installed.",
    )
    kept = commands.add_parser(
        "cache",
        help="show or clear the compiled code kept on disk",
        description="Show where compiled code is kept, its size and the number of entries; or remove it. CHAINRULE_CACHE names "
        "another folder (0: none), CHAINRULE_CACHE_SIZE the megabytes that it may hold.",
    )
    kept.add_argument("action", nargs="?", choices=["clear"], help="remove all entries")
    run = commands.add_parser(
        "run",
        help="run a program written for PyTorch, with chainrule in torch's place",
        description="Run an unmodified program written for PyTorch: `import torch` gives chainrule. PyTorch need not be "
        "installed.",
        usage="chainrule run [-h] (SCRIPT | -m MODULE) [ARGS ...]",
    )
    graph = commands.add_parser(
        "graph",
        help="run a program up to a backward pass, and write a page that shows its graph",
        description="Run a program, written for chainrule or for PyTorch, up to a backward pass, and write a page for the "
        "browser that shows the graph of this pass, with values, gradients and lines; the program ends there. Of a program "
        "without a pass it is the graph of the results in its variables at the end.",
        usage="chainrule graph [-h] [-o FILE] [--pass N] (SCRIPT | -m MODULE) [ARGS ...]",
    )
    graph.add_argument("-o", dest="file", default="graph.html", help="the page, or a picture if it ends with .svg (graph.html)")
    graph.add_argument("--pass", dest="number", type=_count, default=1, metavar="N", help="which backward pass (default: 1)")
    for command in (run, graph):
        command.add_argument("-m", dest="module", action="store_true", help="run a module, as python -m does")
        command.add_argument("program", metavar="SCRIPT", help="the program's file, or its module's name with -m")
        command.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="the program's own arguments")
    return made


def _run(program: str, arguments: list[str], is_module: bool) -> dict[str, Any]:
    """Run a program as Python would, with chainrule in torch's place; return its variables."""
    import runpy

    from chainrule.torch.alias import as_torch, read

    as_torch()
    sys.argv[:] = [program, *arguments]
    if is_module:
        sys.path.insert(0, "")
        return runpy.run_module(program, run_name="__main__", alter_sys=True)
    sys.path.insert(0, os.path.dirname(os.path.abspath(program)))
    read(program)
    return runpy.run_path(program, run_name="__main__")


def _graph(program: str, arguments: list[str], is_module: bool, file: str, number: int) -> int:
    """Run a program up to a backward pass and write the page of its graph; return the exit status."""
    from pathlib import Path

    from chainrule.visualization.page import check_name
    from chainrule.visualization.program import Passes, Shown

    try:
        check_name(file)
    except ValueError as error:
        print(f"chainrule graph: {error}", file=sys.stderr)
        return 2
    passes = Passes(Path(file).absolute(), number)
    try:
        with passes:
            variables = _run(program, arguments, is_module)
    except Shown:
        print(f"chainrule graph: {file}")
        return 0
    if passes.count:
        print(f"chainrule graph: the program took {passes.count} backward pass(es), and ended", file=sys.stderr)
        return 1
    if not passes.at_the_end(variables):
        print("chainrule graph: the program took no backward pass and has left no result that requires grad", file=sys.stderr)
        return 1
    print(f"chainrule graph: {file}")
    return 0


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = parser().parse_args(argv)
    if arguments.command == "info":
        from chainrule.info import report

        print(report())
        return 0
    if arguments.command == "cache":
        from chainrule.compiler.cache import cache, described

        if arguments.action == "clear":
            number = cache().clear()
            print(f"removed {number} entr{'y' if number == 1 else 'ies'}")
        else:
            print("\n".join([f"{name:<14}{text}" for name, text in described().items()]))
        return 0
    if arguments.command == "demo":
        try:
            from chainrule.demo import run

            return run(arguments.epochs, arguments.seed, live=not arguments.no_progress)
        except ModuleNotFoundError as error:
            print(f'The demo needs {error.name}. In a clone of the repository: pip install ".[demo]"', file=sys.stderr)
            return 1
    if arguments.command in ("run", "graph"):
        if not arguments.module and not os.path.exists(arguments.program):
            print(f"chainrule {arguments.command}: there is no file {arguments.program!r}", file=sys.stderr)
            return 2
        if arguments.command == "graph":
            return _graph(arguments.program, arguments.arguments, arguments.module, arguments.file, arguments.number)
        _run(arguments.program, arguments.arguments, arguments.module)
        return 0
    parser().print_help()
    return 0


if __name__ == "__main__":
    sys.exit(main())
