"""The command line: ``chainrule demo``, ``info``, ``cache``, and ``run`` for programs written for PyTorch."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

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
    run.add_argument("-m", dest="module", action="store_true", help="run a module, as python -m does")
    run.add_argument("program", metavar="SCRIPT", help="the program's file, or its module's name with -m")
    run.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="the program's own arguments")
    return made


def _run(program: str, arguments: list[str], is_module: bool) -> None:
    """Run a program as Python would, with chainrule in torch's place."""
    import runpy

    from chainrule.torch.alias import as_torch, read

    as_torch()
    sys.argv[:] = [program, *arguments]
    if is_module:
        sys.path.insert(0, "")
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, os.path.dirname(os.path.abspath(program)))
        read(program)
        runpy.run_path(program, run_name="__main__")


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
    if arguments.command == "run":
        if not arguments.module and not os.path.exists(arguments.program):
            print(f"chainrule run: there is no file {arguments.program!r}", file=sys.stderr)
            return 2
        _run(arguments.program, arguments.arguments, arguments.module)
        return 0
    parser().print_help()
    return 0


if __name__ == "__main__":
    sys.exit(main())
