# Integrations in plain sh: the protocol of charter, spoken line by line on stdin
# and stdout. Needs a POSIX sh with sed, tr and awk; dash and busybox will do.
#
# A program defines a function `execute`, sources this file and calls `serve`:
#
#     execute() {
#         log info "greeting $(input name)"
#         succeed "$(json_string "Hello, $(input name)!")"
#     }
#     . ./integrations/lib.sh
#     serve
#
# In `execute` there are:
#   input NAME [DEFAULT]          an input of the step, strings as text, others as JSON
#   config NAME [DEFAULT]         a member of the step's `with` and the project's config
#   value PATH                    any part of the request: value params.context.run_id
#   log LEVEL TEXT...             debug, info, warning or error
#   progress CURRENT TOTAL TEXT   TOTAL may be null
#   succeed JSON                  answers with a value, and ends the step
#   fail TEXT...                  answers with an error, and ends the step
#   json_string TEXT...           the text as a JSON string
# Everything else that is printed must go to stderr: stdout belongs to the protocol.
# A cancelled step is ended by the signal that the daemon sends after its grace time.

# Prints the value at a dotted path of the request; fails where there is none.
# Array elements are numbered from 0.
value() {
    printf '%s\n' "$request" | path=$1 LC_ALL=C awk '
        function space() {
            while (index(" \t\r\n", substr(s, p, 1)) && p <= n) p++
        }
        function hex(digits,   i, sum) {
            for (i = 1; i <= 4; i++)
                sum = sum * 16 + index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
            return sum
        }
        function utf8(code) {
            if (code < 128) return sprintf("%c", code)
            if (code < 2048) return sprintf("%c%c", 192 + int(code / 64), 128 + code % 64)
            if (code < 65536)
                return sprintf("%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64)
            return sprintf("%c%c%c%c", 240 + int(code / 262144), 128 + int(code / 4096) % 64, \
                128 + int(code / 64) % 64, 128 + code % 64)
        }
        # At an opening quote; leaves p behind the closing one.
        function string(   text, part, c, code, low) {
            p++
            while (p <= n) {
                part = substr(s, p, 256)
                if (!match(part, /["\\]/)) { text = text part; p += 256; continue }
                text = text substr(part, 1, RSTART - 1)
                p += RSTART
                if (substr(part, RSTART, 1) == "\"") return text
                c = substr(s, p++, 1)
                if (c == "n") c = "\n"
                else if (c == "t") c = "\t"
                else if (c == "r") c = "\r"
                else if (c == "b") c = "\b"
                else if (c == "f") c = "\f"
                else if (c == "u") {
                    code = hex(substr(s, p, 4)); p += 4
                    if (code >= 55296 && code < 56320) {
                        low = hex(substr(s, p + 2, 4)); p += 6
                        code = 65536 + (code - 55296) * 1024 + low - 56320
                    }
                    c = code ? utf8(code) : ""
                }
                text = text c
            }
            return text
        }
        # At the first byte of a value; leaves p behind its last.
        function walk(at,   start, c, text, key, i) {
            start = p
            c = substr(s, p, 1)
            if (c == "\"") text = string()
            else if (c == "{" || c == "[") {
                p++
                space()
                while (p <= n && !index("}]", substr(s, p, 1))) {
                    if (substr(s, p, 1) == ",") { p++; space() }
                    key = i++
                    if (c == "{") { key = string(); space(); p++; space() }
                    walk(at == "" ? key : at "." key)
                    space()
                }
                p++
            } else while (p <= n && !index(",]} \t\r\n", substr(s, p, 1))) p++
            if (at == ENVIRON["path"]) {
                print (c == "\"" ? text : substr(s, start, p - start))
                exit 0
            }
        }
        { s = s $0 }
        END {
            p = 1; n = length(s)
            space()
            walk("")
            exit 1
        }
    '
}

input() {
    value "params.context.inputs.$1" || printf '%s\n' "${2-}"
}

config() {
    value "params.step.with_config.$1" || printf '%s\n' "${2-}"
}

# Control characters other than tab and line feed are left out.
json_string() {
    printf '%s\n' "$*" | LC_ALL=C tr -d '\000-\010\013-\037' |
        LC_ALL=C sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e "s/$tab/\\\\t/g" |
        LC_ALL=C awk '{ text = text (NR > 1 ? "\\n" : "") $0 } END { print "\"" text "\"" }'
}

log() {
    log_level=$1
    shift
    printf '{"jsonrpc":"2.0","method":"log","params":{"level":"%s","message":%s}}\n' \
        "$log_level" "$(json_string "$*")"
}

progress() {
    printf '{"jsonrpc":"2.0","method":"progress","params":{"current":%s,"total":%s,"message":%s}}\n' \
        "$1" "$2" "$(json_string "$3")"
}

answer() {
    printf '{"jsonrpc":"2.0","id":"%s","result":%s}\n' "$id" "$1"
}

refuse() {
    printf '{"jsonrpc":"2.0","id":"%s","error":{"code":%s,"message":%s}}\n' "$id" "$1" "$(json_string "$2")"
}

# `execute` runs in a shell of its own, so that these two can end it.
succeed() {
    answer "{\"value\":$1}"
    exit 0
}

fail() {
    refuse -32603 "$*"
    exit 0
}

serve() {
    tab=$(printf '\t')
    while IFS= read -r request; do
        [ -n "$request" ] || continue
        method=$(value method) || continue
        id=$(value id) || continue # a notification: nothing to answer
        case $method in
        setup | teardown)
            answer '{"ok":true}'
            ;;
        execute)
            (
                execute
                fail "execute ended with status $? and without an answer"
            ) </dev/null || refuse -32603 "execute was ended with status $?"
            ;;
        *)
            refuse -32601 "unknown method $method"
            ;;
        esac
    done
}
