"""`dealgate audit file`: the case file of a deal."""

from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import refuse
from dealgate.adapters.command_line.ledger import DEFAULT, ledger_exit_codes


def file(
    deal_id: Annotated[str, typer.Argument(metavar="DEAL")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR|ZIP", help="A folder, or a file that ends in .zip.")
    ],
    reader: Annotated[
        str, typer.Option(help="For whom: compliance sees all, analyst no identity, outside no personal value.")
    ] = "outside",
    db: DatabaseOption = DEFAULT,
) -> None:
    """Write everything about one deal, with proofs and a script that checks them offline."""
    from dealgate.adapters.compliance.case_file import (  # noqa: PLC0415
        case_file,
        manifest_hash,
        write_folder,
        write_zip,
    )
    from dealgate.adapters.compliance.withholding import UnknownReaderError  # noqa: PLC0415
    from dealgate.adapters.database import stored  # noqa: PLC0415

    with ledger_exit_codes():
        try:
            with stored(db) as connection:
                found = case_file(connection, deal_id, reader)
        except UnknownReaderError as error:
            refuse([error])
        try:
            write = write_zip if output.suffix == ".zip" else write_folder
            write(found, output)
        except FileExistsError:
            refuse([f"{output}: is there already, and is not overwritten. Give another name, or move it away."])
        except OSError as error:
            refuse([f"{output}: cannot be written: {error.strerror or error}"])
        print(f"{output}: {len(found)} files")
        print(f"manifest.json  SHA-256 {manifest_hash(found)}")
        print(f"check.py       SHA-256 {sha256(found['check.py']).hexdigest()}")
