#!/usr/bin/env bash
# Sets up a virtual environment in .venv and runs the demo in it. Needs Python 3.11+ and a package index, nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
.venv/bin/python -m pip --disable-pip-version-check install --quiet --editable ".[demo]"
exec .venv/bin/chainrule demo "$@"
