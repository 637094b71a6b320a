"""Run published packages written for PyTorch on their own tests, under PyTorch and under chainrule, and count what passes.

python scripts/packages.py [NAME ...]     those packages, or all; rewrites their rows of docs/packages.md
python scripts/packages.py --list         what there is

A package is an entry of a file in scripts/packages/, by its name on PyPI:

version   the version that is fetched
tests     the files and folders of its source distribution that are run, or modules of scripts/packages/programs/
needs     what pip installs beside it; PyTorch itself is never installed
leave     patterns of tests that are run under neither library, each with its reason
differs   patterns of tests that PyTorch passes and chainrule does not, each with its cause
options   pytest's, and environment, for its runs
limit     seconds for the whole run (default 300)

Sources and packages are kept in $CHAINRULE_PACKAGES, or in ~/.cache/chainrule-packages; nothing of them is committed. It needs
PyTorch, pytest and a network.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TABLES = Path(__file__).parent / "packages"
PAGE = ROOT / "docs" / "packages.md"
CACHE = Path(os.environ.get("CHAINRULE_PACKAGES") or Path.home() / ".cache" / "chainrule-packages")
LIBRARIES = {"PyTorch": ["-m", "pytest"], "chainrule": ["-m", "chainrule", "run", "-m", "pytest"]}
PYTEST = [
    "-q", "-p", "recording", "-p", "no:cacheprovider", "--import-mode=importlib", "--continue-on-collection-errors", "-o",
    "addopts=", "--tb=short",
]  # fmt: skip
SHOWN = 15
"""How many of the tests that chainrule does not pass are printed."""
HEAD = """\
# Published packages on chainrule

Packages that were written for PyTorch, each run on its own tests, or where it ships none on a program that trains its models
from the weights and inputs of a run under PyTorch. Both libraries run the same. `python scripts/packages.py` fetches them and
counts what passes of what PyTorch does not skip; it writes this page.

| package | what is run | PyTorch | chainrule | what PyTorch passes and chainrule does not |
|---|---|---|---|---|
"""


def entries() -> dict[str, dict[str, Any]]:
    """Return the entries of all tables, by the package's name."""
    tables = [tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(TABLES.glob("*.toml"))]
    return {name: entry for table in tables for name, entry in table.items()}


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments], check=True)


def fetch(name: str, entry: dict[str, Any]) -> tuple[Path, Path]:
    """Return where a package is installed and where its sources are, after fetching what is not there yet."""
    home = CACHE / f"{name}-{entry['version']}"
    site, source, wanted = home / "site", home / "source", [f"{name}=={entry['version']}", *entry.get("needs", [])]
    stamp = home / "installed.txt"
    if not stamp.exists() or stamp.read_text() != "\n".join(wanted):
        _pip("install", "--no-deps", "--upgrade", "--target", str(site), *wanted)
        stamp.write_text("\n".join(wanted))
    if not source.exists():
        source.mkdir()
        if not all(map(_is_program, entry["tests"])):
            _pip("download", "--no-binary", ":all:", "--no-deps", "-d", str(home), wanted[0])
            with tarfile.open(next(home.glob("*.tar.gz"))) as archive:
                archive.extractall(source, filter="data")
    return site, next((path for path in source.iterdir() if path.is_dir()), source)


def _is_program(test: str) -> bool:
    """Tell whether what is run is ours, not of the package's sources."""
    return (TABLES / "programs" / test).exists()


def outcomes(name: str, entry: dict[str, Any], library: str) -> dict[str, str]:
    """Run a package's tests under a library, and return the outcome of each test by its name."""
    site, source = fetch(name, entry)
    record = site.parent / f"{library}.jsonl"
    record.unlink(missing_ok=True)
    paths = [str(site), str(TABLES), *([str(ROOT / "src")] if library == "chainrule" else [])]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"} | entry.get("environment", {})
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "RECORD": str(record), "LEAVE": json.dumps([*entry.get("leave", {})])}
    tests = [str(TABLES / "programs" / test) if _is_program(test) else test for test in entry["tests"]]
    ours = (
        ["-c", os.devnull] if all(map(_is_program, entry["tests"])) else []
    )  # or pytest would take this repository's settings
    command = [sys.executable, *LIBRARIES[library], *PYTEST, f"--rootdir={source}", *ours, *entry.get("options", []), *tests]
    with open(record.with_suffix(".log"), "w", encoding="utf-8") as log:
        try:
            subprocess.run(command, cwd=source, env=environment, stdout=log, stderr=log, timeout=entry.get("limit", 300))
        except subprocess.TimeoutExpired:
            print(f"{name}: {library} was stopped at the limit of {entry.get('limit', 300)} s", file=sys.stderr)
    lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    return dict(json.loads(line) for line in lines)


def row(name: str, entry: dict[str, Any], theirs: dict[str, str], ours: dict[str, str]) -> str:
    """Return a package's row of the table."""
    counted = [test for test, outcome in theirs.items() if outcome != "skipped"]
    passed = [test for test in counted if theirs[test] == "passed"]
    behind = [test for test in passed if ours.get(test) != "passed"]
    counts, explained = dict.fromkeys(entry.get("differs", {}).values(), 0), set()
    for pattern, cause in entry.get("differs", {}).items():
        matched = {test for test in behind if fnmatch(test, f"*{pattern}*")} - explained
        counts[cause] += len(matched)
        explained |= matched
    causes = [f"{count}: {cause}" for cause, count in counts.items() if count]
    unexplained = [test for test in behind if test not in explained]
    causes += [f"{len(unexplained)}: to be found"] if unexplained else []
    for test in unexplained[:SHOWN]:
        print(f"  {test}: {ours.get(test, 'not run')}")
    count = sum(ours.get(test) == "passed" for test in counted)
    run = ", ".join("a program of ours" if _is_program(test) else f"`{test}`" for test in entry["tests"])
    cells = [
        f"{name} {entry['version']}",
        run,
        f"{len(passed)} / {len(counted)}",
        f"{count} / {len(counted)}",
        "; ".join(causes),
    ]
    return "| " + " | ".join(cells) + " |"


def write(rows: dict[str, str]) -> None:
    """Put rows into the page, in the order of the names, beside those that it has."""
    old = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []
    kept = {line[2:].split(" ", 1)[0]: line for line in old if line.startswith("| ") and not line.startswith("| package |")}
    rows = {name: line for name, line in (kept | rows).items() if name in entries()}
    PAGE.write_text(HEAD + "\n".join(rows[name] for name in sorted(rows, key=str.lower)) + "\n", encoding="utf-8")


def main() -> None:
    """Run the packages that are asked for."""
    parser = argparse.ArgumentParser(description="Run packages written for PyTorch under PyTorch and under chainrule.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="packages to run (default: all)")
    parser.add_argument("--list", action="store_true", help="list the packages")
    parser.add_argument("--only", choices=[*LIBRARIES], help="run one library, and use what is recorded of the other")
    arguments = parser.parse_args()
    table = entries()
    if unknown := set(arguments.names) - set(table):
        parser.error(f"there is no entry for {', '.join(sorted(unknown))}")
    for name in arguments.names or table:
        entry = table[name]
        if arguments.list:
            print(name, entry["version"], *entry["tests"])
            continue
        found = {}
        for library in LIBRARIES:
            record = CACHE / f"{name}-{entry['version']}" / f"{library}.jsonl"
            if arguments.only not in (None, library) and record.exists():
                found[library] = dict(json.loads(line) for line in record.read_text(encoding="utf-8").splitlines())
            else:
                found[library] = outcomes(name, entry, library)
        line = row(name, entry, found["PyTorch"], found["chainrule"])
        print(line, flush=True)
        write({name: line})


if __name__ == "__main__":
    main()
