#!/bin/sh
# Makes the virtual environment $VENV with pinned versions of everything. Run by `make setup`; may be run again at any time.
set -eu

UV_VERSION=0.13.9
VENV=${VENV:-.venv}
PYTHON=${PYTHON:-python3}
TORCH_INDEX=${TORCH_INDEX:-}

fail() {
    echo "setup: $1" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in "$PYTHON" python3.14 python3.13 python3.12 python3.11; do
        if is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed, and '$PYTHON' is $(command -v "$PYTHON" >/dev/null && "$PYTHON" --version 2>&1 || echo missing): install one, then \`make setup PYTHON=/path/to/python3\`"
}

make_environment() {
    if [ -x "$VENV/bin/python" ] && "$VENV/bin/python" -c 'import pip' 2>/dev/null; then
        return
    fi
    python=$(find_python)
    if "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        "$python" -m venv "$VENV"
    elif command -v uv >/dev/null 2>&1; then
        uv venv --quiet --seed --python "$python" "$VENV"
    elif "$python" -c 'import virtualenv' 2>/dev/null; then
        "$python" -m virtualenv --quiet "$VENV"
    else
        fail "$python can't make virtual environments (its ensurepip module is missing): install it (Debian, Ubuntu: \`apt install python3-venv\`) or install uv, then run \`make setup\` again"
    fi
}

make_environment
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
if [ -n "$TORCH_INDEX" ]; then
    torch=$(grep '^torch==' constraints.txt)
    echo "setup: installing $torch from $TORCH_INDEX"
    "$VENV/bin/uv" pip install --python "$VENV/bin/python" --index "$TORCH_INDEX" "$torch"
fi
echo "setup: installing sparkweave and what it needs into $VENV (PyTorch is large: some minutes the first time)"
"$VENV/bin/uv" pip install --python "$VENV/bin/python" --compile-bytecode --override overrides.txt -c constraints.txt -e '.[all,dev]'
echo "setup: preparing a faster start of Spark (once, about half a minute)"
"$VENV/bin/python" -m sparkweave.spark.class_archive || echo "setup: Spark will start without its class archive" >&2
