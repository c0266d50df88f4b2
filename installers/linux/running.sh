# Part of the packages' scripts: the processes that run an installed program.

# running PATH: their ids. A container may have a program of the same path; what it runs is its own affair.
running() {
    for process in /proc/[0-9]*; do
        [ "$process/root" -ef / ] || continue
        case "$(readlink "$process/exe" 2>/dev/null)" in
            "$1" | "$1 (deleted)") echo "${process#/proc/}" ;;
        esac
    done
}

# outdated PATH: those of them that run a version which has been replaced.
outdated() {
    for pid in $(running "$1"); do
        [ "/proc/$pid/exe" -ef "$1" ] || echo "$pid"
    done
}

# stop PATH: asks them to end, as the menu's Quit does, and waits for that while requests may finish.
stop() {
    for pid in $(running "$1"); do
        kill -TERM "$pid" 2>/dev/null || true
    done
    seconds=0
    while [ -n "$(running "$1")" ] && [ "$seconds" -lt 20 ]; do
        sleep 1
        seconds=$((seconds + 1))
    done
    if [ -n "$(running "$1")" ]; then
        echo "codex-proxy: $1 has been asked to end and still runs: process $(running "$1" | tr '\n' ' ')"
    fi
}

# renew: has the application start anew in its new version, and says what a person has to do where that cannot be.
renew() {
    for pid in $(outdated /usr/bin/codex-proxy-app); do
        # Bit 11 of the signals that it catches is SIGUSR2, which would end a program that does not know it.
        case "$(sed -n 's/^SigCgt:.*\(.\)..$/\1/p' "/proc/$pid/status")" in
            [89abcdef]) kill -USR2 "$pid" 2>/dev/null || true ;;
            *) echo "codex-proxy: process $pid is still the version before; end it and start it again" ;;
        esac
    done
    for pid in $(outdated /usr/bin/codex-proxy); do
        echo "codex-proxy: the proxy with process id $pid is still the version before. Start it anew: with"
        echo "    systemctl --user restart codex-proxy    or where you have started it"
    done
}
