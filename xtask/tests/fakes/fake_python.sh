#!/bin/sh
# A Python that makes environments and installs a fake Locust into them. FAKE_PYTHON says what goes wrong; what it was
# asked for goes to $PIDS/python-calls.
echo "$1 $2" | head -n 1 >> "$PIDS/python-calls"
sleeps_at() {
    [ "$FAKE_PYTHON" = "sleeps-at-$1" ] || return 0
    echo $$ > "$PIDS/python"
    exec sleep 1000
}
case "$1 $2" in
    "-c "*) sleeps_at version; echo 3 12 ;;
    "-m venv")
        mkdir -p "$3/bin"
        sleeps_at venv
        cp "$0" "$3/bin/python" ;;
    "-m pip")
        sleeps_at pip
        [ "$FAKE_PYTHON" = pip-fails ] && { echo "ERROR: No matching distribution found" >&2; exit 1; }
        exit 0 ;;
    "-m locust") shift 2; exec sh "$FAKE_LOCUST_SCRIPT" "$@" ;;
    *) exit 9 ;;
esac
