#!/usr/bin/env bash
# Sets up a virtual environment in .venv and runs the tests in it. Needs Python 3.11+ and a package index, nothing else.
#   --lint    also ruff, import-linter, mypy, and pyright (tests/typing, which runs both on scripts of users)
#   --peers   also PyTorch as the oracle (about 200 MB), and the slow set: more samples under the costly laws, wide
#             comparison with PyTorch, hypothesis, benchmarks as smoke
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
lint= peers=
for option in "$@"; do
  case $option in
    --lint) lint=yes ;;
    --peers) peers=yes ;;
    *) echo "unknown option $option: --lint, --peers"; exit 2 ;;
  esac
done
[ -x .venv/bin/python ] || "$python" -m venv .venv
pip=".venv/bin/python -m pip --disable-pip-version-check"
$pip install --quiet --upgrade "pip>=25.1"
groups="--group test"
[ -n "$lint" ] && groups="$groups --group lint"
[ -n "$peers" ] && groups="$groups --group oracle --group bench"
$pip install --quiet --editable . $groups
if [ -n "$lint" ]; then
  .venv/bin/ruff check .
  .venv/bin/ruff format --check .
  .venv/bin/lint-imports
  .venv/bin/mypy
  .venv/bin/python -m pytest tests/typing -m slow
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # of each worker: there are as many workers as cores
workers=$(.venv/bin/python -c 'import os; print(min(os.cpu_count() or 1, 8))')
.venv/bin/python -m pytest -n "$workers" ${peers:+-m "not sweep"}
