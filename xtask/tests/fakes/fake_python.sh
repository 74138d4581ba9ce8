#!/bin/sh
# A Python that makes environments and installs a fake Locust into them. FAKE_PYTHON names what goes wrong, FAKE_PIP is the
# version of its pip, or "none". Its arguments go to $PIDS/python-calls, a line each.
echo "$*" | head -n 1 >> "$PIDS/python-calls"
sleeps_at() {
    [ "$FAKE_PYTHON" = "sleeps-at-$1" ] || return 0
    echo $$ > "$PIDS/python"
    exec sleep 1000
}
without_pip=$(dirname "$0")/without-pip
case "$1 $2" in
    "-c import greenlet"*)
        # The system's Python was upgraded since the environment was made.
        [ -z "$FAKE_UPGRADED" ] || [ -e "$(dirname "$0")/upgraded" ] || exit 1 ;;
    "-c "*) sleeps_at version; echo 3 12 ;;
    "-m venv")
        folder=$3
        [ "$3" = --without-pip ] && folder=$4
        mkdir -p "$folder/bin"
        sleeps_at venv
        [ -z "$FAKE_UPGRADED" ] || : > "$folder/bin/upgraded"
        [ "$3" = --without-pip ] && : > "$folder/bin/without-pip"
        cp "$0" "$folder/bin/python" ;;
    "-m pip")
        if [ -e "$without_pip" ] || [ "$FAKE_PIP" = none ] && [ "$3" = --version ]; then
            echo "No module named pip" >&2
            exit 1
        fi
        [ "$3" = --version ] && { echo "pip ${FAKE_PIP:-24.0} from /usr/lib/python3 (python 3.12)"; exit 0; }
        sleeps_at pip
        [ "${PIP_USER:-0}" = 0 ] || { echo "ERROR: Can not perform a '--user' install." >&2; exit 1; }
        [ "$FAKE_PYTHON" = pip-fails ] && { echo "ERROR: No matching distribution found" >&2; exit 1; }
        exit 0 ;;
    "-m locust") shift 2; exec sh "$FAKE_LOCUST_SCRIPT" "$@" ;;
    *) exit 9 ;;
esac
