"""The one error handler: whatever a command raises becomes one line, a next step and an exit code."""

from __future__ import annotations

import errno
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer

from vitapps.apps.terminal import close_stdout, configure_logging, printable, write_json
from vitapps.errors import ExitCode, VitappsError

_NO_NAME = {errno.ENAMETOOLONG, errno.ELOOP}  # no file can be called so, whichever argument it was
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def guarded(call: Callable[[], Any], arguments: Sequence[str]) -> int:
    """Run `call` and return the exit code of the process; `arguments` are the words of the command line.

    `--json` and `--verbose` are looked up in the words because a usage error leaves nothing parsed.
    """
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json = "--json" in options
    verbose = "--verbose" in options or "-v" in options
    configure_logging(verbose=verbose)
    with _terminated_like_interrupted(), warnings.catch_warnings():
        if not verbose:
            warnings.simplefilter("ignore")  # a dependency's deprecations are no concern of the user
        try:
            code = call()
            sys.stdout.flush()
        except SystemExit as request:
            return request.code if isinstance(request.code, int) else int(request.code is not None)
        except BrokenPipeError:
            close_stdout()
            return ExitCode.OK
        except BaseException as error:
            return report(error, as_json=as_json, verbose=verbose)
    # Typer turns Ctrl-C into the return value 130
    return report(KeyboardInterrupt(), as_json=as_json) if code == ExitCode.INTERRUPTED else int(code or 0)


def report(error: BaseException, *, as_json: bool = False, verbose: bool = False) -> int:
    """Print `error` (stderr, or a JSON object on stdout) and return its exit code."""
    message, hint, code = explain(error)
    if verbose and not isinstance(error, (KeyboardInterrupt, typer.Abort)):
        traceback.print_exception(error)
    if as_json:
        write_json({"error": printable(message), "hint": printable(hint), "exit_code": int(code)})
    else:
        try:
            print(f"vitapps: error: {printable(message)}", file=sys.stderr)  # noqa: T201
            if hint:
                print(f"hint: {printable(hint)}", file=sys.stderr)  # noqa: T201
        except OSError:
            return int(code)  # nobody listens on stderr
    return int(code)


def explain(error: BaseException) -> tuple[str, str, ExitCode]:
    """Message, next step and exit code of any exception."""
    if isinstance(error, VitappsError):
        return error.message, error.hint, error.exit_code
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "vitapps"
        return error.format_message(), f"`{path} --help` lists the options", ExitCode.USAGE
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return "interrupted, no unfinished output is left", "", ExitCode.INTERRUPTED
    if _is_out_of_memory(error):
        return "out of memory", "close other programs, or give a smaller input", ExitCode.OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in _FULL_DISK:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}", "free some space, or give an -o elsewhere", ExitCode.OUTPUT
    if isinstance(error, OSError) and error.errno in _NO_NAME:
        return f"{error.filename}: {error.strerror}", "check the spelling of the path", ExitCode.UNREADABLE_INPUT
    text = str(error).strip().splitlines()
    return (
        f"unexpected {type(error).__name__}: {text[0] if text else 'no message'}",
        "run again with --verbose for the traceback, and please report it",
        ExitCode.UNEXPECTED,
    )


def _is_out_of_memory(error: BaseException) -> bool:
    """Python's and numpy's MemoryError, torch's OutOfMemoryError and what C++ libraries say."""
    torch = sys.modules.get("torch")  # never imported for this question
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "bad_alloc" in str(error)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt within, so that `finally` blocks remove unfinished outputs."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signal handlers belong to the main thread
        return
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous if previous is not None else signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
