"""`kiterec plugins`: which plugins there are."""

from __future__ import annotations

import click

from kiterec.cli.json_output import print_json
from kiterec.cli.options import json_option
from kiterec.cli.tables import Column, table


@click.command(short_help="List the plugins.")
@json_option
def plugins(*, as_json: bool) -> None:
    """List the plugins that `record --plugin NAME` can use.

    Built-in ones and those of installed packages are listed. A plugin can also be named as
    package.module:attribute, or as a file.
    """
    from kiterec.plugins import describe_plugins

    found = describe_plugins()
    if as_json:
        print_json(found)
        return
    rows = [
        {
            "plugin": it.name,
            "from": "built in" if it.built_in else it.package or it.source,
            "hooks": str(len(it.hooks)),
            "what it does": it.problem or it.summary,
        }
        for it in found
    ]
    columns = [Column("plugin", left=True), Column("from", 2, left=True, least=10), Column("hooks", 3)]
    click.echo(table(rows, [*columns, Column("what it does", left=True, least=30, keeps="begin")]))
