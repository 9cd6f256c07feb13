# Completion of charter, charter-daemon and charter-gateway for bash.  Workflows and runs are
# asked of the project's daemon, where one answers.
# shellcheck shell=bash

_charter_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2"); }

_charter_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

_charter_directories() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -d -- "$1")
}

# The value of an option that all programs or commands understand alike; false: it is free text.
_charter_value() { # OPTION CURRENT
    case $1 in
    --project-path) _charter_directories "$2" ;;
    --token-file | --proxy-credentials-file | --store | --tls-ca | --tls-cert | --tls-key | --tls-crl)
        _charter_files "$2"
        ;;
    --log-level) _charter_words 'error warning info debug' "$2" ;;
    --log-format) _charter_words 'text json' "$2" ;;
    --tls-min) _charter_words '1.2 1.3' "$2" ;;
    --status) _charter_words 'queued running waiting succeeded failed cancelled denied' "$2" ;;
    *) return 1 ;;
    esac
}

# What stands before "=" in "--option=value" is a word of its own for bash.
_charter_position() {
    cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]] && ((COMP_CWORD > 1)); then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
}

_charter_ids() { # MEMBER COMMAND...: what the daemon says for the member
    local member=$1
    shift
    charter "${project[@]}" "$@" --json 2>/dev/null | grep -o "\"$member\":\"[^\"]*\"" | cut -d '"' -f 4 | sort -u
}

_charter_with_value='--project-path --input --inputs --run-id --label --actor --limit --cursor --status --after --reason --comment --step --answers --timeout'

_charter() {
    local cur prev options arguments word i
    local words=() project=()
    _charter_position

    # The words of the command: what is neither an option nor the value of one.
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        [[ $word == --project-path ]] && ((i + 1 < COMP_CWORD)) && project=(--project-path "${COMP_WORDS[i + 1]}")
        if [[ $word == -* ]]; then
            [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i += 2)) && continue
            [[ " $_charter_with_value " == *" $word "* ]] && ((i++))
        else
            words+=("$word")
        fi
    done

    options='' arguments=''
    case "${words[*]:0:2}" in
    '') arguments='run status runs events artifacts artifact cancel resume submit-input workflows daemon init' ;;
    runs) arguments=list ;;
    artifact) arguments='get' ;;
    workflows) arguments='list show' ;;
    daemon) arguments='status stop' ;;
    'runs list') options='--limit --cursor --status' ;;
    'artifact get') [[ ${#words[@]} == 2 ]] && arguments=RUN ;;
    'workflows show') [[ ${#words[@]} == 2 ]] && arguments=WORKFLOW ;;
    'daemon stop') options='--drain --timeout' ;;
    run | 'run '*)
        options='--input --inputs --detached --run-id --label --actor'
        [[ ${#words[@]} == 1 ]] && arguments=WORKFLOW
        ;;
    events | 'events '*)
        options='--follow --after'
        [[ ${#words[@]} == 1 ]] && arguments=RUN
        ;;
    cancel | 'cancel '*)
        options='--reason --actor'
        [[ ${#words[@]} == 1 ]] && arguments=RUN
        ;;
    resume | 'resume '*)
        options='--approve --deny --comment --step --actor'
        [[ ${#words[@]} == 1 ]] && arguments=RUN
        ;;
    submit-input | 'submit-input '*)
        options='--answers --step --actor'
        [[ ${#words[@]} == 1 ]] && arguments=RUN
        ;;
    status | artifacts) arguments=RUN ;;
    init) arguments=DIRECTORY ;;
    esac

    COMPREPLY=()
    _charter_value "$prev" "$cur" && return
    [[ " $_charter_with_value " == *" $prev "* ]] && return
    if [[ $cur == -* ]]; then
        _charter_words "$options --project-path --json --help --version" "$cur"
        return
    fi
    case $arguments in
    RUN) arguments=$(_charter_ids run_id runs list) ;;
    WORKFLOW) arguments=$(_charter_ids id workflows list) ;;
    DIRECTORY)
        _charter_directories "$cur"
        return
        ;;
    esac
    _charter_words "$arguments" "$cur"
}

_charter_daemon() {
    local cur prev options command
    _charter_position
    COMPREPLY=()
    command=
    ((COMP_CWORD > 1)) && command=${COMP_WORDS[1]}
    case $command in
    start)
        options='--project-path --gateway --token-file --proxy --proxy-credentials-file --reconnect-ms --tls-ca --tls-pin
            --tls-cert --tls-key --tls-crl --tls-min --journal-kib --salvage --background --log-level --log-format'
        ;;
    check) options='--project-path --log-level --log-format' ;;
    verify) options='--project-path --head --json --log-level --log-format' ;;
    '') options='start check verify limits --version --help' ;;
    *) return ;;
    esac
    _charter_value "$prev" "$cur" && return
    case $prev in
    --proxy) _charter_words none "$cur" ;;
    --gateway | --reconnect-ms | --tls-pin | --journal-kib | --head) ;;
    *) _charter_words "$options" "$cur" ;;
    esac
}

_charter_gateway() {
    local cur prev
    _charter_position
    COMPREPLY=()
    _charter_value "$prev" "$cur" && return
    case $prev in
    --listen) _charter_words '127.0.0.1:8765' "$cur" ;;
    --name | --heartbeat-s) ;;
    *) _charter_words '--listen --store --token-file --name --heartbeat-s --log-level --version --help' "$cur" ;;
    esac
}

complete -F _charter charter
complete -F _charter_daemon charter-daemon
complete -F _charter_gateway charter-gateway
