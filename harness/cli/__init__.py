"""The ``harness`` command. A verb's module is imported when the verb is called, not before."""

from __future__ import annotations

import difflib
import gc
import importlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import click

from harness import __version__

# verb -> what it does; the module harness.cli.<verb> holds the click command of that name.
VERBS = {
    "run": "Train models on data sets, score them, show the board.",
    "grid": "Run every combination of a plan file.",
    "tune": "Search a model's rate, dropout and width under an equal budget.",
    "list": "List models, data sets, protocols, suites or metrics.",
    "show": "Show what is known of a model or data set.",
    "data": "Prepare, verify and describe data sets; make twins.",
    "check": "Check a model's contract, or what is odd about a data set.",
    "predict": "Score a split with a trained model.",
    "rescore": "Recompute metrics from stored predictions.",
    "leaderboard": "Write leaderboards from run records.",
    "ablate": "Run a model without its parts, one at a time, in one table.",
    "compare": "Test models against a reference on stored predictions.",
    "score": "Score predictions made by anyone's code.",
    "audit": "Show what is doubtful in published figures.",
    "figure": "Draw figures, with their numbers beside them.",
    "export": "Write a data set's card or a run in an exchange format.",
    "runs": "Look after stored runs.",
    "new": "Write the project of a new model, data set or other plugin.",
    "plugins": "List plugins and what is broken.",
    "doctor": "Check the installation, the roots and the data.",
}


# What is imported lives as long as the process. Looking through it for garbage as often as Python
# does takes a fifth of the start; children that train go back to Python's own thresholds.
_SELDOM = (50_000, 20, 50)


class ReportedError(click.ClickException):
    """An error of ours as click prints it: one message and its exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # a class attribute in click


def reported(error: Exception) -> ReportedError:
    """Return any exception as one line, with its traceback before it where the user asked."""
    from harness.boundary import debugging, explained, printable

    if debugging():
        traceback.print_exception(error)
    told = explained(error)
    lines = (printable(line) for line in str(told).splitlines())
    return ReportedError("\n  ".join(lines), told.exit_code)


class SuggestingGroup(click.Group):
    """A group that names the nearest command for an unknown one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; suggest the nearest for an unknown one."""
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            near = difflib.get_close_matches(args[0], known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint} Known: {', '.join(known)}.")
        return super().resolve_command(ctx, args)


class LazyGroup(SuggestingGroup):
    """A group that imports a verb on its call and turns our errors into one line.

    Args:
        verbs: verb to what it does, in the order shown.
        package: the package whose module of a verb's name holds its command.
        options: click's own.
    """

    def __init__(self, *args: Any, verbs: Mapping[str, str], package: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.verbs = verbs
        self.package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in their order."""
        return [*self.verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb, importing its module."""
        if cmd_name not in self.verbs:
            return None
        module = importlib.import_module(f"{self.package}.{cmd_name}")
        command: click.Command = getattr(module, "command", None) or getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([*self.verbs.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb.

        Raises:
            ReportedError: it ended with one of our errors, or was interrupted.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise ReportedError(
                "interrupted. Run the same command again to continue where it stopped.", 130
            ) from error
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        # The last handler: whatever arrives here ends in one sentence.
        except Exception as error:
            raise reported(error) from error


@click.group(
    cls=LazyGroup,
    verbs=VERBS,
    package="harness.cli",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Each command explains itself: harness run --help.",
)
@click.version_option(__version__, prog_name="harness")
def cli() -> None:
    """Benchmark multimodal emotion recognition: one data protocol, one metric, every model.

    HARNESS_DATA holds the authors' files, HARNESS_HOME prepared data and runs.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with the documented exit code."""
    from harness.cli import streams

    streams.prepare()
    ours = arguments is None  # the process is the command's alone
    if ours:
        gc.set_threshold(*_SELDOM)
    code: Any = 1
    try:
        cli.main(args=None if arguments is None else [*arguments], prog_name="harness")
    except SystemExit as end:
        code = end.code
    trouble = streams.finish()
    if trouble:
        click.echo(f"Error: {trouble}", err=True)
    if ours:
        gc.freeze()  # at its end Python would look through everything once more
    sys.exit(code or (2 if trouble else 0))
