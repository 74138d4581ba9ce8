#!/bin/sh
# A Locust that misbehaves on purpose. FAKE_LOCUST says how; its process id goes to $PIDS/locust. With FAKE_WORKERS it
# also has a worker, whatever else it does.
if [ "$1" = --version ]; then
    [ "$FAKE_LOCUST" = slow-version ] && { echo $$ > "$PIDS/locust"; exec sleep 1000; }
    echo "locust ${FAKE_LOCUST_VERSION:-2.47.0} from /fake (Python 3.11.7)"
    exit 0
fi
echo $$ > "$PIDS/locust"
echo "$@" > "$PIDS/arguments"
env > "$PIDS/environment"
while [ $# -gt 0 ]; do
    case $1 in
        --csv) csv=$2 ;;
        --json-file) json=$2.json ;;
        -H) host=$2 ;;
    esac
    shift
done
# The value of this run, of as many as are given; the last one stays.
runs=$(cat "$PIDS/../runs-made" 2> /dev/null || echo 0)
run=$runs
echo $((runs + 1)) > "$PIDS/../runs-made"
[ "$run" = "$FAKE_DIES_AT" ] && kill -9 $$
p95=300
for value in $FAKE_P95_MS; do
    p95=$value
    [ "$runs" -eq 0 ] && break
    runs=$((runs - 1))
done
# Or the service says how slow it is.
[ -f "$PIDS/p95" ] && p95=$(cat "$PIDS/p95")
# So does one that runs already, by its port.
[ -f "$PIDS/p95-${host##*:}" ] && p95=$(cat "$PIDS/p95-${host##*:}")
failures=${FAKE_FAILURES:-0}
name=${FAKE_NAME:-/claims}
p99=${FAKE_P99_MS:-400}
[ "$p95" -gt "$p99" ] && p99=$p95
header=Type,Name,Request\ Count,Failure\ Count,Average\ Response\ Time,Requests/s,50%,95%,99%
requests=${FAKE_REQUESTS:-450}
# Of 450 requests 427 take 100 ms, so that the ranks 225, 427 and 445 are p50, p95 and p99. No two runs have the same
# mean, so that none is taken for another.
typical=$((requests * 95 / 100))
slowest=$((requests - requests * 99 / 100))
slower=$((requests - typical - slowest))
mean=$(((100 * typical + p95 * slower + p99 * slowest) / requests + run % 5))
row="$requests,$failures,$mean.0,15.0,100,$p95,$p99"

stats() { printf '%s\r\nGET,%s,%s\r\n,Aggregated,%s\r\n' "$header" "$name" "$row" "$row" > "$1"; }
json() {
    printf '[{"name":"%s","method":"GET","num_requests":%s,"num_failures":%s,"num_none_requests":0,' "$name" "${1:-$requests}" "$failures"
    printf '"total_response_time":%s,"start_time":1.0,"last_request_timestamp":%s.%03d,' "$((${1:-$requests} * mean))" \
        "$((1 + requests / 15))" "$((requests * 1000 / 15% 1000))"
    printf '"response_times":{"100":%s,"%s":%s,"%s.0":%s}}]' "$((typical + ${1:-$requests} - requests))" "$p95" "$slower" "$p99" "$slowest"
}
folder=${PERF_FINAL_STATS_CSV%/*}
about=$folder/perf_listener.json
# What the listener tells of the run, with FAKE_ACCOUNT as further keys: whether ramp-up is left out, whether the window was opened.
account() {
    ended_by=run_time
    load_s=${FAKE_LOAD_S:-1.0}
    [ "$FAKE_LOCUST" = cut-short ] && { ended_by=early; load_s=0.4; }
    printf '{"ramp_up_left_out": %s, "began": %s, "ended_by": "%s", "load_s": %s, "window_s": 30.0,%s "mean_users": %s, "unfinished": %s, "users_left": %s%s}' \
        "$1" "$2" "$ended_by" "$load_s" "$window" "${FAKE_USERS:-10.0}" "${FAKE_UNFINISHED:-[]}" "${FAKE_LEFT:-[]}" "$FAKE_ACCOUNT" > "$about"
}
# The requests of `on_start`: FAKE_SETUP has how many of six fail, and their time in ms.
setup_json() {
    printf '{"name":"/login","method":"POST","num_requests":6,"num_failures":%s,"num_none_requests":0,' "$1"
    printf '"total_response_time":%s,"start_time":1.0,"last_request_timestamp":2.0,"response_times":{"%s":6}}]' "$((6 * $2))" "$2"
}
setup() {
    # The two values are words.
    # shellcheck disable=SC2086
    { printf '['; setup_json $FAKE_SETUP; } > "$folder/perf_setup.json"
    printf 'Method,Name,Error,Occurrences\r\nPOST,/login,500,%s\r\n' "${FAKE_SETUP% *}" > "$folder/perf_setup_failures.csv"
    # shellcheck disable=SC2086
    { json | sed 's/]$/,/'; setup_json $FAKE_SETUP; } > "$folder/perf_with_setup.json"
}
finish() {
    account true true
    [ -z "$FAKE_LEFT_EARLY" ] && echo '{"exit_code": 0}' > "$folder/perf_complete.json"
    [ -n "$FAKE_SETUP" ] && setup
    stats "$PERF_FINAL_STATS_CSV"
    [ -n "$json" ] && json > "$json"
}

# Which workers take part, as the listener would tell.
[ -n "$FAKE_ROLL" ] && echo "$FAKE_ROLL" > "$folder/perf_workers.json"
[ -n "$FAKE_WORKERS" ] && { sleep 1000 & echo $! > "$PIDS/locust-worker"; }
stats "${csv}_stats.csv"
echo "All users spawned: {\"User\": 10} (10 total users)" >&2
case $FAKE_LOCUST in
    exit1) echo "Traceback: the locustfile is broken" >&2; finish; exit 1 ;;
    gives-up) echo "[t] h/ERROR/locust.main: Gave up waiting for workers to connect" >&2; finish; exit 1 ;;
    hangs) trap '' INT TERM; finish; while :; do sleep 1; done ;;
    waits) exec sleep 1000 ;;
    dies) kill -9 $$ ;;
    torn) finish; stats "$PERF_FINAL_STATS_CSV.whole"; head -c 130 "$PERF_FINAL_STATS_CSV.whole" > "$PERF_FINAL_STATS_CSV" ;;
    torn-json) finish; printf '[{"name":"/claims","method"' > "$json" ;;
    empty) finish; : > "$PERF_FINAL_STATS_CSV" ;;
    raises) finish; printf 'Count,Message,Traceback,Nodes\r\n7,KeyError,at line 3,local\r\n' > "${csv}_exceptions.csv" ;;
    kills-service)
        finish
        kill -9 "$(cat "$PIDS/service")"
        while kill -0 "$(cat "$PIDS/service")" 2> "$PIDS/kill"; do sleep 0.05; done ;;
    # Nothing but the time tells that these were not cut short.
    none) rm "${csv}_stats.csv"; sleep 2 ;;
    no-listener) sleep 2 ;;
    disagrees) finish; json 460 > "$json" ;;
    no-requests)
        account true true
        printf '%s\r\n,Aggregated,0,0,0,0,N/A,N/A,N/A\r\n' "$header" > "$PERF_FINAL_STATS_CSV"
        echo "You must specify the base host" >&2 ;;
    workers) sleep 1000 & echo $! > "$PIDS/locust-worker"; finish ;;
    fails-saying) finish; printf 'Method,Name,Error,Occurrences\r\nGET,/a,"%s",7\r\n' "$FAKE_FAILURE" > "${csv}_failures.csv" ;;
    loads)
        # Only such a run tells when its window was opened, and so what was used meanwhile.
        window=" \"opened_time\": $(date +%s).0, \"requests\": $requests,"
        : > "$folder/perf_window_opened"
        sleep 3
        finish ;;
    setsid) (setsid sleep 1000 &); finish ;;
    setsid-exit1) (setsid sh -c 'sleep 1000 & sleep 1000' &); exit 1 ;;
    shape) finish; account false true ;;
    never-began) finish; account true false ;;
    says-commands)
        i=0; while [ $i -lt 300 ]; do echo "line $i"; i=$((i + 1)); done
        printf '::error::owned\n  ::stop-commands::x\nx ##[error]owned\n\r::error::owned\n::endgroup::\n(10 total users)\n'
        finish ;;
    says-much)
        # 60 MB before what matters and as much behind it, which take no room on the disk. A line is lost if it comes at the
        # moment when the gate cuts the log, so Locust's warning is repeated, and the last lines come later.
        log=$folder/locust.log
        truncate -s 60M "$log"
        for _ in 1 2 3; do
            echo "CPU usage above 90%! This may constrain your throughput"
            sleep 0.1
        done
        truncate -s 120M "$log"
        sleep 0.5
        echo
        finish ;;
    saturated) echo "WARNING/locust.runners: CPU usage above 90%! This may constrain your throughput" >&2; finish ;;
    freezes-service) finish; kill -STOP "$(cat "$PIDS/service")" ;;
    *) finish ;;
esac
[ "$FAKE_LOCUST" = cut-short ] || echo "--run-time limit reached, shutting down" >&2
exit "${FAKE_LOCUST_EXIT:-0}"
