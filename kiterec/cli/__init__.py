"""The command line: `main()`, and a group of verbs whose modules are loaded when they are used."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, Final

import click

from kiterec.errors import KiterecError, NoRecordingError, PluginError, SetupError

VERBS: Final = (
    "demo", "record", "simulate", "replay",
    "ls", "info", "ticks", "candles", "report", "plugins",
    "verify", "recover", "cut", "merge", "prune", "export",
)  # fmt: skip
"""Each verb is the command of its own name in the module of its own name, in the order of `--help`."""

FAILED: Final = 1
USAGE: Final = 2
LOST: Final = 3
"""Finished, but something was lost or is damaged."""
INTERRUPTED: Final = 130
READER_GONE: Final = 141
"""What a shell says of a program that writes into a closed pipe, such as `cat FILE | head`."""

WRONG_USE: Final = (SetupError, PluginError, NoRecordingError)
"""Errors that end with USAGE: the words or the settings are wrong, and nothing was started."""


class VerbGroup(click.Group):
    """A group that imports a verb's module when the verb is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (as click calls it)
        """Give the verbs, without loading them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load a verb; None when there is no such verb."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"kiterec.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest verb for an unknown one."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the verbs are {', '.join(VERBS)}"
            ctx.fail(f"there is no verb {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb; end without a word when nobody reads its output any more."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            # What is left in the buffer goes nowhere, instead of into the pipe when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(READER_GONE)
        except KeyboardInterrupt:
            click.echo("kiterec: interrupted", err=True)
            sys.exit(INTERRUPTED)


@click.group(
    cls=VerbGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Exit codes:
  0  fine
  1  failed
  2  wrong usage or settings, or no such recording; nothing was started
  3  finished, but something was lost or is damaged
  130, 143  broken off by a signal; 141  nobody read the output to its end

\b
Data goes to stdout, everything else to stderr.
Shell completion, for bash in ~/.bashrc (zsh_source and fish_source likewise):
  eval "$(_KITEREC_COMPLETE=bash_source kiterec)"
""",
)
@click.version_option(package_name="kiterec", message="kiterec %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Log details too.")
@click.option("-q", "--quiet", is_flag=True, help="Log only warnings and errors.")
def kiterec(*, verbose: bool, quiet: bool) -> None:
    """Record the Kite market-data feed, look at it, and play it back as if it were Kite."""
    from kiterec.cli.logs import log_to_stderr

    log_to_stderr(verbose=verbose, quiet=quiet)


def main(args: list[str] | None = None) -> Any:
    """Run the command line; the console script's entry point.

    An error that kiterec raises on purpose becomes one line on stderr. Anything else keeps its traceback.

    Args:
        args: the words after the command's name; None takes those of the process.
    """
    try:
        return kiterec.main(args, prog_name="kiterec")
    except KiterecError as error:
        sentence = " ".join(str(error).split())
        click.echo(f"kiterec: {sentence}", err=True)
        sys.exit(USAGE if isinstance(error, WRONG_USE) else FAILED)
