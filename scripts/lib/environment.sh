# shellcheck shell=bash
# Sourced by the scripts beside it: makes .venv and keeps it in step with pyproject.toml.
#
# `prepare_environment core [EXTRA…]` leaves the package and those extras installed in $root/.venv.
# What was installed is remembered by stamps inside it, so that a call with nothing to do takes
# milliseconds and needs no network.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
# shellcheck disable=SC2034 # for the scripts that source this file
venv="$root/.venv"

readonly PYTHON_WANTED="3.11"

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

is_recent_python() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# Prints the interpreter to build .venv with: $PYTHON, or the first one that is recent enough.
find_python() {
    local candidate
    if [[ -n "${PYTHON:-}" ]]; then
        is_recent_python "$PYTHON" ||
            fail "PYTHON=$PYTHON is not Python $PYTHON_WANTED or later; name another or unset it"
        printf '%s' "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if is_recent_python "$candidate"; then
            printf '%s' "$candidate"
            return
        fi
    done
    if command -v python3 >/dev/null; then
        fail "$(python3 --version) is too old: install Python $PYTHON_WANTED or later" \
            "(on Debian and Ubuntu: apt install python3 python3-venv), or name one by PYTHON=…"
    fi
    fail "python3 is missing: install Python $PYTHON_WANTED or later" \
        "(on Debian and Ubuntu: apt install python3 python3-venv)"
}

make_venv() {
    local python
    python="$(find_python)" || exit # said here: a caller behind `||` has no `set -e`
    say "Making .venv with $("$python" --version) …"
    # What a broken or interrupted attempt left is of no use, and pip would not repair it.
    rm -rf "$venv"
    if ! "$python" -m venv "$venv" >"$root/.venv.log" 2>&1; then
        cat "$root/.venv.log" >&2
        rm -rf "$venv" "$root/.venv.log"
        fail "$python cannot make a virtual environment" \
            "(on Debian and Ubuntu: apt install python3-venv)"
    fi
    rm -f "$root/.venv.log"
}

# What an installation depends on: the declared packages, the interpreter, and the path, since an
# environment that was moved or copied points at its old place.
fingerprint() {
    "$venv/bin/python" - "$root" <<'PYTHON'
import hashlib, pathlib, sys

root = pathlib.Path(sys.argv[1])
text = f"{sys.version}\n{root}\n".encode() + (root / "pyproject.toml").read_bytes()
print(hashlib.sha256(text).hexdigest())
PYTHON
}

stamp_of() {
    printf '%s' "$venv/.installed-$1"
}

prepare_environment() {
    local parts=("$@") extras=("${@:2}") wanted part missing="" list
    "$venv/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        make_venv
    wanted="$(fingerprint)" || exit
    for part in "${parts[@]}"; do
        [[ "$(cat "$(stamp_of "$part")" 2>/dev/null)" == "$wanted" ]] || missing=yes
    done
    [[ -n "$missing" ]] || return 0

    list="$(IFS=,; printf '%s' "${extras[*]}")"
    say "Installing Vigil into .venv${list:+, with: $list} …"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --editable "$root${list:+[$list]}" ||
        fail "installing failed, see above; the first time needs a way to the package index"
    for part in "${parts[@]}"; do
        printf '%s\n' "$wanted" >"$(stamp_of "$part")"
    done
}
