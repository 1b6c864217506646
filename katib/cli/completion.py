"""The command that prints the completion scripts of shells."""

import click
from click.shell_completion import get_completion_class

_HOW = {
    "bash": "source <(katib-cli completion bash)",
    "zsh": "source <(katib-cli completion zsh)",
    "fish": "katib-cli completion fish | source",
}


@click.command("completion", epilog="To use it at once: " + "; ".join(f"in {k}, {v}" for k, v in _HOW.items()))
@click.argument("shell", type=click.Choice(sorted(_HOW)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in SHELL."""
    root = ctx.find_root()
    class_ = get_completion_class(shell)
    assert class_ is not None
    click.echo(class_(root.command, {}, "katib-cli", "_KATIB_CLI_COMPLETE").source())
