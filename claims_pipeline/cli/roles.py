"""`claims-pipeline roles`: who may do what in the warehouse, and logins for persons and tools.

Belongs here: the words of the commands. Does not belong here: the rights themselves (warehouse/roles.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from claims_pipeline.cli.common import make_services
from claims_pipeline.cli.output import errors_in_one_line, out, print_json, table
from claims_pipeline.vocabulary import Role

if TYPE_CHECKING:
    from claims_pipeline.warehouse.grants import Grant

app = typer.Typer(help="Who may do what in the warehouse, and logins for persons and tools. See docs/access.md.")

_NAMES_SHOWN = 6


@app.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables.")] = False,
) -> None:
    """Print who may do what, as the database's catalogue has it; superusers may do everything and are not listed."""
    if context.invoked_subcommand is not None:
        return
    with errors_in_one_line():
        from claims_pipeline.feeds import all_feeds
        from claims_pipeline.warehouse import grants

        with make_services().database() as connection:
            found = grants.all_grants(connection, all_feeds())
            members = grants.members(connection)
            memberships = grants.memberships(connection)
            undecided = grants.undecided(connection, all_feeds())
        if as_json:
            print_json({"grants": found, "members": members, "memberships": memberships, "undecided": undecided})
            return
        rows = [(one.grantee, one.schema or "-", _objects(one), ", ".join(one.privileges)) for one in found]
        out.print(table("who may do what", ["role", "schema", "objects", "may"], rows))
        logins = [(role.value, ", ".join(members.get(role, [])) or "-") for role in Role]
        out.print(table("members, with the same rights", ["role", "logins"], logins))
        for name, others in memberships.items():
            out.print(
                Text(f"{name} may more than this:", "red"), f"it is a member of {', '.join(others)}", highlight=False
            )
        for one in undecided:
            out.print(Text("nobody has decided who may read", "yellow"), f"{one}: granted to nobody", highlight=False)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the login.", show_default=False)],
    role: Annotated[Role, typer.Option("--as", help="Whose rights it gets.", show_default=False)],
    only_print: Annotated[bool, typer.Option("--print", help="Print the SQL and change nothing.")] = False,
) -> None:
    r"""Make a login for a person or a tool, with the rights and time-outs of a role. It has no password yet.

    Without one nobody can log in: set it with psql (`\\password NAME`), which sends it encrypted, or let the server ask
    elsewhere (on RDS: `grant rds_iam to NAME`). `drop role NAME` takes the login away again.
    """
    with errors_in_one_line():
        from psycopg import errors

        from claims_pipeline.errors import ClaimsPipelineError
        from claims_pipeline.warehouse import roles

        with make_services().owner_database() as connection:
            statements = roles.login_statements(name, role, connection.info.dbname)
            if only_print:
                for statement in statements:
                    typer.echo(f"{statement.as_string(connection)};")
                return
            try:
                roles.carry_out(connection, statements, f"the login {name} was not made")
            except errors.DuplicateObject:
                raise ClaimsPipelineError(f"a role named {name} exists already") from None
        out.print(
            f"{name} is a member of {role}, without a password: nobody can log in until one is set, with psql: "
            f"\\password {name}",
            highlight=False,
        )


def _objects(grant: Grant) -> str:
    if grant.kind in ("database", "schema"):
        return grant.kind if grant.kind == "schema" else f"database {grant.names[0]}"
    names = ", ".join(grant.names[:_NAMES_SHOWN])
    more = f" and {len(grant.names) - _NAMES_SHOWN} more" if len(grant.names) > _NAMES_SHOWN else ""
    return f"{grant.kind} {names}{more}"
