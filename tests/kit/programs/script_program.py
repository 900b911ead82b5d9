"""The program of the script engine. Arguments: mode, primaries, seed, argument."""

import json
import os
import signal
import sys
import time
from pathlib import Path

HOLD = "import time; time.sleep(60)"


def write(name: str, text: str) -> None:
    Path(name).write_text(text)


def finish(primaries: int, seed: int) -> None:
    write("dose.result", f"{primaries} {seed}\n")


def leave_group() -> None:
    """Leave the session where that is allowed, else the process group."""
    try:
        os.setsid()
    except PermissionError:
        os.setpgid(0, 0)


def wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.02)


def main(mode: str, primaries: int, seed: int, argument: str) -> None:
    write("engine.log", f"mode {mode}\n")
    print(f"done {primaries // 2}", flush=True)
    match mode:
        case "ok":
            finish(primaries, seed)
        case "slow":
            wait_for(argument)
            finish(primaries, seed)
        case "watched":
            write("run.progress", f"done {primaries // 4}\n")
            wait_for(argument)
            finish(primaries, seed)
        case "faulty":
            finish(primaries, seed)
        case "crash":
            print("the deck has no geometry", file=sys.stderr)
            sys.exit(3)
        case "once":
            # Fail in the first attempt only.
            if not Path(argument).exists():
                write(argument, "")
                sys.exit(4)
            finish(primaries, seed)
        case "mixed":
            # The argument maps seeds to modes; all other tasks run well.
            main(json.loads(argument).get(str(seed), "ok"), primaries, seed, "")
        case "signal":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "garbage":
            write("dose.result", "\x00\x01 what")
        case "short":
            finish(primaries - 1, seed)
        case "empty":
            pass
        case "hang":
            signal.pause()
        case "spin":
            while True:
                pass
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("done 1", flush=True)
            while True:
                time.sleep(60)
        case "family":
            # Children in and out of the group, one of them ignoring SIGTERM.
            for leave in (False, True):
                if os.fork() == 0:
                    if leave:
                        leave_group()
                        if os.fork():
                            os._exit(0)
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    while True:
                        time.sleep(60)
            if argument == "finish":
                finish(primaries, seed)
            else:
                signal.pause()
        case "chatty":
            line = "x" * 99
            for _ in range(int(argument) // 100):
                print(line)
            print("the end")
            finish(primaries, seed)
        case "fifo":
            os.mkfifo("dose.result")
        case "linked":
            Path("dose.result").symlink_to("/etc/passwd")
        case "deep":
            for _ in range(1200):
                Path("folder").mkdir()
                os.chdir("folder")
            finish(primaries, seed)
        case "filling":
            # Files of a MiB take up the space, some of them deleted but open.
            held = []
            for number in range(int(argument)):
                file = Path(f"{number}.tmp").open("wb")  # noqa: SIM115 - to be held
                file.write(bytes(1 << 20))
                file.flush()
                held.append(file)
                if number % 2:
                    Path(f"{number}.tmp").unlink()
            signal.pause()
        case "littering":
            for number in range(int(argument)):
                write(f"{number}.tmp", "")
            finish(primaries, seed)
        case "large":
            with Path("more.result").open("wb") as file:
                for _ in range(int(argument)):
                    file.write(os.urandom(1 << 20))
            finish(primaries, seed)
        case "holding":
            # The orphan hides and keeps the output open.
            if os.fork() == 0:
                leave_group()
                if os.fork() == 0:
                    os.execve(sys.executable, [sys.executable, "-c", HOLD], {})
                os._exit(0)
            finish(primaries, seed)
        case "environment":
            print(sorted(os.environ))
            finish(primaries, seed)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
