#!/bin/sh
# The whole chain once, on this machine alone: a gateway, a daemon, a workflow with
# integrations in C, in sh, and, where it is there, in Python. Started by `make run`, which sets BUILD to the directory of the programs.
#
# Everything lives in a temporary directory and on a free port of the loopback address, and
# is stopped and removed at the end. Exit status 0 only if all that is shown was as expected.
set -eu

build=${BUILD:-build}
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$build" && pwd)
daemon_pid=
gateway_pid=

# Settings of the caller's own daemon must not reach this one.
unset CHARTER_PROJECT_PATH CHARTER_GATEWAY CHARTER_TOKEN_FILE CHARTER_LOG_LEVEL CHARTER_LOG_FORMAT \
    CHARTER_GATEWAY_LISTEN CHARTER_GATEWAY_STORE CHARTER_GATEWAY_TOKEN_FILE

# `value PATH` finds a value in the JSON text of $request: the library that the example's
# integrations use reads answers as well as requests.
# shellcheck source=port/demo/project/integrations/lib.sh
. "$here/project/integrations/lib.sh"
field() { # JSON PATH
    request=$1
    value "$2"
}

title() { printf '\n== %s\n' "$*"; }

give_up() {
    echo "run.sh: $*" >&2
    for log in gateway daemon; do
        [ ! -s "$work/$log.log" ] || { echo "--- the end of $log.log" && tail -n 20 "$work/$log.log"; } >&2
    done
    exit 1
}

stop() { # PID: asks it to end and waits; after 15 s it is killed. Its exit status.
    [ -n "$1" ] && kill "$1" 2>/dev/null || return 0
    (
        sleeper=
        trap '[ -z "$sleeper" ] || kill "$sleeper"; exit 0' TERM
        sleep 15 &
        sleeper=$!
        wait "$sleeper"
        kill -KILL "$1" 2>/dev/null
    ) &
    watch=$!
    wait "$1" && stopped=0 || stopped=$?
    kill "$watch" 2>/dev/null || :
    wait "$watch" 2>/dev/null || :
    return "$stopped"
}

clean_up() {
    status=$?
    trap - EXIT INT TERM HUP
    stop "$daemon_pid" || :
    stop "$gateway_pid" || :
    rm -rf "$work"
    exit "$status"
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
    limit=$(($(date +%s) + $1))
    what=$2
    shift 2
    until "$@"; do
        [ "$(date +%s)" -lt "$limit" ] || give_up "$what did not happen in time"
        [ -z "$gateway_pid" ] || kill -0 "$gateway_pid" 2>/dev/null || give_up "the gateway has ended"
        [ -z "$daemon_pid" ] || kill -0 "$daemon_pid" 2>/dev/null || give_up "the daemon has ended"
        sleep 0.1 2>/dev/null || sleep 1
    done
}

api() { # PATH [curl's options]
    path=$1
    shift
    curl --silent --show-error --noproxy '*' --max-time 40 "$@" "http://$address$path"
}

command -v curl >/dev/null || { echo "run.sh: curl is missing; install it and try again" >&2; exit 1; }
work=$(mktemp -d)
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
cp -R "$here/project" "$work/project"
project=$work/project
cp "$build/integrations/probe" "$build/integrations/http-get" "$project/integrations/"

# One of the steps is a Python class where there is a Python to make an environment with, and a build that knows them.
with_python() {
    (umask 077 && mkdir "$project/.charter") && python3 -m venv --without-pip "$project/.charter/.venv" || return 1
    sed 's|command: \["./integrations/headroom"\]|python: "./integrations/headroom.py:Headroom"|' \
        "$here/project/charter.yml" >"$project/charter.yml"
    "$build/charter-daemon" check --project-path "$project"
}
if with_python >/dev/null 2>&1; then
    echo "The integrations are in C, in sh, and in Python."
else
    cp "$here/project/charter.yml" "$project/charter.yml"
    echo "The integrations are in C and in sh (Python is not there)."
fi

title "A gateway: stores events, passes commands to daemons"
"$build/charter-gateway" --listen 127.0.0.1:0 --store "$work/gateway.db" \
    >"$work/gateway.out" 2>"$work/gateway.log" &
gateway_pid=$!
is_listening() { address=$(sed -n 's/^listening on //p' "$work/gateway.out") && [ -n "$address" ]; }
wait_for 20 "the start of the gateway" is_listening
echo "charter-gateway listens on http://$address"

title "A daemon: runs the workflows of one project, and dials out to the gateway"
"$build/charter-daemon" start --project-path "$project" --gateway "http://$address" 2>"$work/daemon.log" &
daemon_pid=$!
is_linked() {
    state=$("$build/charter" daemon status --json --project-path "$project" 2>/dev/null) &&
        [ "$(field "$state" gateway.state)" = connected ]
}
wait_for 30 "the daemon's connection to the gateway" is_linked
daemon_id=$(field "$state" daemon_id)
echo "charter-daemon $(field "$state" version) works for project $(field "$state" project) as $daemon_id"

title "A run from the command line: charter run host-report"
"$build/charter" run host-report --project-path "$project" --run-id from-the-command-line \
    --input disk_percent_max=95 --input "status_url=http://$address/v1/daemons" --label started_by=make-run || give_up "the run ended with exit code $?"

title "The same workflow as a command through the gateway's HTTP API"
body='{"jsonrpc":"2.0","id":"1","method":"run.start","params":{"workflow_id":"host-report",'
body=$body'"inputs":{"load_max":16},"actor":"demo"}}'
echo "POST /v1/daemons/$daemon_id/rpc"
echo "  $body"
answer=$(api "/v1/daemons/$daemon_id/rpc" --data "$body" -H 'Content-Type: application/json') ||
    give_up "the gateway did not take the command"
run_id=$(field "$answer" result.run_id) || give_up "the gateway answered $answer"
echo "the daemon answered through the gateway: run $run_id is $(field "$answer" result.status)"

# The gateway's own view of a run: what it has stored, not what the daemon says.
has_ended() {
    seen=$(api "/v1/runs/$1" 2>/dev/null) && status=$(field "$seen" status) || return 1
    case $status in succeeded | failed | cancelled | denied) ;; *) return 1 ;; esac
}
cut_to() { # WIDTH TEXT: says how long it was where it was cut
    [ ${#2} -le "$1" ] && printf '%s' "$2" || printf '%.*s... (%s bytes)' "$(($1 - 20))" "$2" ${#2}
}
show_events() { # RUN: prints them, and checks that they are whole and in order
    stored=$(api "/v1/runs/$1/events") || give_up "the gateway does not give the events of $1"
    count=0
    type=nothing
    while event=$(field "$stored" "events.$count"); do
        count=$((count + 1))
        [ "$(field "$event" n)" = "$count" ] || give_up "event $count of run $1 is missing in $stored"
        type=$(field "$event" type)
        [ "$count" -ne 1 ] || [ "$type" = run.created ] || give_up "run $1 begins with $type"
        time=$(field "$event" time)
        time=${time#*T}
        printf '%3d  %s  %-15s %-7s %s\n' "$count" "${time%Z}" "$type" "$(field "$event" step_id || :)" \
            "$(cut_to 100 "$(field "$event" data)")"
    done
    [ "$type" = run.succeeded ] || give_up "run $1 ends with $type"
}
for run in from-the-command-line "$run_id"; do
    wait_for 60 "the end of run $run in the gateway's store" has_ended "$run"
    title "The events of run $run, read back from the gateway's store"
    show_events "$run"
done

title "Stopping what was started"
stop "$daemon_pid" || give_up "the daemon ended with exit code $?"
daemon_pid=
stop "$gateway_pid" || give_up "the gateway ended with exit code $?"
gateway_pid=
echo "daemon and gateway have stopped, $work is removed"

cat <<EOT

All of it worked. A project of your own:
  $build/charter init ~/my-project
  $build/charter-daemon start --project-path ~/my-project --background
  $build/charter run hello --project-path ~/my-project --input name=you
  $build/charter daemon stop --project-path ~/my-project
README.md goes on from there; \`make test\` runs every test.
EOT
