# Part of the packages' scripts: finds and ends the processes of an installed program.

# running PATH: prints the process IDs. It leaves out programs with the same path inside a container.
running() {
    for process in /proc/[0-9]*; do
        [ "$process/root" -ef / ] || continue
        case "$(readlink "$process/exe" 2>/dev/null)" in
            "$1" | "$1 (deleted)") echo "${process#/proc/}" ;;
        esac
    done
}

# outdated PATH: prints the IDs of processes that still run a replaced version.
outdated() {
    for pid in $(running "$1"); do
        [ "/proc/$pid/exe" -ef "$1" ] || echo "$pid"
    done
}

# stop PATH: asks the processes to end, like Quit in the menu. Waits while running requests finish.
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
        echo "codex-proxy: $1 was asked to end but is still running: process $(running "$1" | tr '\n' ' ')"
    fi
}

# renew: restarts the application in its new version. If that is not possible, prints what the user has to do.
renew() {
    for pid in $(outdated /usr/bin/codex-proxy-app); do
        # Bit 11 of SigCgt means that the program handles SIGUSR2. The signal would end a program without a handler.
        case "$(sed -n 's/^SigCgt:.*\(.\)..$/\1/p' "/proc/$pid/status")" in
            [89abcdef]) kill -USR2 "$pid" 2>/dev/null || true ;;
            *) echo "codex-proxy: process $pid still runs the old version. End it and start it again" ;;
        esac
    done
    for pid in $(outdated /usr/bin/codex-proxy); do
        echo "codex-proxy: the proxy with process ID $pid still runs the old version. Restart it, for example with"
        echo "    systemctl --user restart codex-proxy"
    done
}
