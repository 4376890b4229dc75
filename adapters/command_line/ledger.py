"""`dealgate ledger ...`: seal, verify, prove, and take out what may be taken out."""

import json
import logging
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import exit_codes, refuse
from dealgate.adapters.command_line.new_files import OWNER_ONLY, refuse_existing, write_all_new, write_new
from dealgate.adapters.command_line.terminal import standard_output

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dealgate.adapters.anchors.anchor import Anchor
    from dealgate.adapters.sealer import Sealer
    from dealgate.models.signing import Signer, VerifierKey

KEY_VARIABLE = "DEALGATE_LEDGER_KEY"
FLAWED = 1
"""The exit code of a ledger that is not what it was."""

DEFAULT = "sqlite:///dealgate.db"

SignerOption = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help=f"The private key; without it, the one in ${KEY_VARIABLE}."),
]
KeysOption = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="KEY", help="The ledger's verifier key, or a file that holds it; may be repeated."),
]
AnchorsOption = Annotated[
    list[str] | None,
    typer.Option("--anchor", metavar="ANCHOR", help="file:/path, tsa:https://... or witness:https://...#key."),
]
ActorOption = Annotated[str, typer.Option("--actor", help="Who does it; recorded.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; recorded.")]

app = typer.Typer(help="The ledger of everything that was decided.", no_args_is_help=True)


@app.command("new-key")
def new_key_(
    name: Annotated[str, typer.Argument(help="What the ledger is called, such as lender.example/ledger.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where the private key goes.")],
) -> None:
    """Make a key that signs checkpoints. Prints the verifier key, which is for everybody."""
    from dealgate.models.signing import new_key  # noqa: PLC0415

    with ledger_exit_codes():
        refuse_existing(output)
        key = new_key(name)
        write_new(output, key.private + "\n", OWNER_ONLY)
        print(key.public.text)


@app.command()
def seal(
    db: DatabaseOption = DEFAULT,
    key: SignerOption = None,
    anchor: AnchorsOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until interrupted.")] = False,
    interval: Annotated[float, typer.Option(min=0.01, help="Seconds between two looks with --watch.")] = 1.0,
    anchor_every: Annotated[
        float, typer.Option(min=0.0, help="Least seconds between two anchored checkpoints.")
    ] = 60.0,
) -> None:
    """Seal the entries that wait, and anchor the checkpoint."""
    with ledger_exit_codes(), ledger_database(db) as engine:
        sealer = _sealer(engine, key, anchor, anchor_every)
        if watch:
            _watch(sealer, interval)
            return
        sealed = sealer.seal()
        failures = sealer.anchor()
        if sealed:
            print(f"sealed {sealed.added} entries, {sealed.checkpoint.size} in all")
            print(sealed.note.decode(), end="")
        else:
            print(_why_nothing(engine))
        if failures:
            refuse(failures)


@app.command()
def verify(
    db: DatabaseOption = DEFAULT,
    key: KeysOption = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option(
            "--anchor",
            metavar="ANCHOR",
            help="A file of notes that were kept elsewhere; or an anchor, as `seal` takes it, to hold its receipts against.",
        ),
    ] = None,
    level: Annotated[str, typer.Option(help="notes, tree, bodies, full or replay.")] = "full",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Say whether the ledger is what it was. Exit code 1 where it is not."""
    from dealgate.adapters.command_line.ledger_reports import progress_of, report_document, show_report  # noqa: PLC0415
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.adapters.ledger_verification import ALL_LEVELS, verify_ledger  # noqa: PLC0415

    with ledger_exit_codes():
        if level not in ALL_LEVELS:
            refuse([f"no level is called {level!r}: use {', '.join(ALL_LEVELS)}"])
        keys = _keys(key)
        anchors, notes = _kept_elsewhere(anchor or [])  # before the ledger, which a sealer may be at work on
        with stored(db) as connection, progress_of(as_json) as progress:
            report = verify_ledger(
                connection, keys=keys, anchored=notes, anchors=anchors, level=level, progress=progress
            )
        if as_json:
            print(json.dumps(report_document(report)))
        else:
            show_report(standard_output(), report)
        if not report.intact:
            raise typer.Exit(FLAWED)


@app.command()
def status(db: DatabaseOption = DEFAULT) -> None:
    """How many entries there are, how many wait, what was signed and anchored last."""
    from dealgate.adapters.command_line.ledger_reports import show_status  # noqa: PLC0415
    from dealgate.adapters.database import stored  # noqa: PLC0415

    with ledger_exit_codes(), stored(db) as connection:
        show_status(standard_output(), connection)


@app.command()
def prove(
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where the proof goes.")],
    entry_id: Annotated[
        str | None, typer.Argument(metavar="[ENTRY]", help="An entry; a decision's has the decision's id.")
    ] = None,
    since: Annotated[
        Path | None, typer.Option("--since", metavar="NOTE", help="Prove that the ledger continues this note, instead.")
    ] = None,
    entry_file: Annotated[
        str | None, typer.Option("--entry", metavar="FILE", help="Write the entry's bytes, too.")
    ] = None,
    db: DatabaseOption = DEFAULT,
) -> None:
    """Write a proof that anybody with the verifier key can check without this database."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.adapters.sealed_entries import prove_entry, prove_growth  # noqa: PLC0415

    with ledger_exit_codes(), stored(db) as connection:
        if (entry_id is None) == (since is None):
            refuse(["give either the id of an entry, or --since with the file of an older note"])
        for name in filter(None, (output, entry_file)):
            refuse_existing(name)
        if entry_file == output:
            refuse([f"{output}: give the proof and the entry's bytes a file each, with --output and --entry"])
        if since is not None:
            if entry_file is not None:
                refuse(["leave out --entry: a proof with --since is about no entry"])
            write_new(output, prove_growth(connection, _read_note(since)).encode().decode())
            return
        found = prove_entry(connection, entry_id or "")
        texts = {output: found.proof.encode().decode()}
        if entry_file is not None:
            if found.envelope is None:
                refuse([f"entry {entry_id} was purged: its leaf hash is left, its bytes are not"])
            texts[entry_file] = found.envelope.decode()
        write_all_new(texts)


@app.command()
def check(
    proof: Annotated[Path, typer.Argument(metavar="PROOF")],
    key: KeysOption = None,
    entry_file: Annotated[
        Path | None, typer.Option("--entry", metavar="FILE", help="The entry's bytes; for a proof about an entry.")
    ] = None,
) -> None:
    """Check a proof. Needs no database and no network: the proof, the key and, for an entry, its bytes."""
    from dealgate.adapters.ledger_proofs import InclusionProof, read_proof  # noqa: PLC0415

    with ledger_exit_codes():
        keys, found = _keys(key), read_proof(proof)
        if not keys:
            refuse(["give the ledger's verifier key with --key: a proof is worth what its key is"])
        if isinstance(found, InclusionProof):
            if entry_file is None:
                refuse(["give the entry's bytes with --entry"])
            checkpoint = found.check(_read(entry_file), keys)
            print(f"entry {found.index} of {checkpoint.origin}, which had {checkpoint.size} entries: holds")
        else:
            older, newer = found.check(keys)
            print(f"{newer.origin} grew from {older.size} to {newer.size} entries: holds")


@app.command()
def receipt(
    entry_id: Annotated[str, typer.Argument(metavar="ENTRY", help="As the receipt says; a decision's has its id.")],
    leaf_hash: Annotated[str, typer.Argument(metavar="LEAF_HASH", help="As the receipt says, in hexadecimal.")],
    db: DatabaseOption = DEFAULT,
) -> None:
    """Check that the ledger still has the very entry of a receipt, sealed or not."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.adapters.sealed_entries import check_receipt  # noqa: PLC0415

    with ledger_exit_codes(), stored(db) as connection:
        index = check_receipt(connection, entry_id, _hash(leaf_hash))
        print(f"entry {entry_id}: holds, {'waits to be sealed' if index is None else f'sealed as leaf {index}'}")


@app.command("rotate-key")
def rotate_key(
    new: Annotated[Path, typer.Option("--new-key", metavar="FILE", help="The private key that takes over.")],
    db: DatabaseOption = DEFAULT,
    key: SignerOption = None,
) -> None:
    """Hand over to another key: the last checkpoint of the old one is signed by both."""
    from dealgate.adapters.transactions import once  # noqa: PLC0415
    from dealgate.models.sealing import rotate  # noqa: PLC0415
    from dealgate.models.signing import Ed25519Signer  # noqa: PLC0415

    with ledger_exit_codes(), ledger_database(db) as engine:
        old, successor = _signer(key), Ed25519Signer.from_file(new)
        sealed = once(engine, lambda connection: rotate(connection, old, successor, datetime.now(UTC)))
        print(sealed.note.decode(), end="")


@app.command()
def restored(
    reason: ReasonOption,
    actor: ActorOption,
    db: DatabaseOption = DEFAULT,
    key: SignerOption = None,
    anchor: Annotated[
        Path | None,
        typer.Option("--anchor", metavar="FILE", help="The anchored notes, to state what the backup lacks."),
    ] = None,
) -> None:
    """Record that this database was restored from a backup, and go on under a new origin. Run it before anything else seals."""
    from dealgate.adapters.sealed_entries import record_restore  # noqa: PLC0415
    from dealgate.adapters.transactions import once  # noqa: PLC0415

    with ledger_exit_codes(), ledger_database(db) as engine:
        signer, notes = _signer(key), _notes([anchor] if anchor else None)
        sealed = once(
            engine, lambda connection: record_restore(connection, signer, notes, reason, actor, datetime.now(UTC))
        )
        print(sealed.note.decode(), end="")


def _keys(given: list[str] | None) -> "list[VerifierKey]":
    return [key for one in given or () for key in _keys_of(one)]


def _keys_of(given: str) -> "list[VerifierKey]":
    """A key, or those in a file. One without any must not pass for no key having been given."""
    in_file = "+" not in given or Path(given).is_file()
    lines = (_read_text(Path(given)) if in_file else given).splitlines()
    numbered = [(f"{given}: line {number}: " if in_file else "", line.strip()) for number, line in enumerate(lines, 1)]
    keys = [_key_of(line, where) for where, line in numbered if line]
    if not keys:
        refuse([f"{given}: holds no verifier key: expected <name>+<8 hex digits>+<base64>, as new-key printed it"])
    return keys


def _key_of(line: str, where: str) -> "VerifierKey":
    from dealgate.models.signing import NoteError, VerifierKey  # noqa: PLC0415

    try:
        return VerifierKey.parse(line)
    except NoteError as error:
        refuse([f"{where}{error}"])


def _kept_elsewhere(given: list[str]) -> "tuple[list[Anchor], list[bytes]]":
    """Anchors to ask about their receipts, and notes; a file is both."""
    from dealgate.adapters.anchors.addresses import parse_anchor  # noqa: PLC0415

    named = [one for one in given if one.startswith(("file:", "tsa:", "witness:"))]
    files = [Path(one.removeprefix("file:")) for one in given if one not in named or one.startswith("file:")]
    return [parse_anchor(one) for one in named], _notes(files)


def _notes(files: list[Path] | None) -> list[bytes]:
    from dealgate.adapters.anchors.append_only_file import FileAnchor  # noqa: PLC0415

    return [note for file in files or () for note in FileAnchor(file).notes()]


def _hash(text: str) -> bytes:
    if not re.fullmatch("[0-9a-f]{64}", text):
        refuse([f"a leaf hash has 64 hexadecimal digits, got {text!r}"])
    return bytes.fromhex(text)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        refuse([f"{path}: cannot be read: {error.strerror or error}"])


def _read_note(path: Path) -> bytes:
    from dealgate.models.notes import Checkpoint, Note  # noqa: PLC0415
    from dealgate.models.signing import NoteError  # noqa: PLC0415

    data = _read(path)
    try:
        Checkpoint.parse(Note.parse(data).text)
    except NoteError as error:
        refuse([f"{path}: {error}"])
    return data


def _read_text(path: Path) -> str:
    try:
        return _read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        refuse([f"{path}: is not text in UTF-8, at byte {error.start}: save it as such"])


def _signer(file: Path | None) -> "Signer":
    from dealgate.models.signing import Ed25519Signer  # noqa: PLC0415

    return Ed25519Signer.from_file(file) if file else Ed25519Signer.from_environment(KEY_VARIABLE)


def _sealer(engine: "Engine", key: Path | None, anchors: list[str] | None, anchor_every: float) -> "Sealer":
    from dealgate.adapters.anchors.addresses import parse_anchor  # noqa: PLC0415
    from dealgate.adapters.sealer import Sealer  # noqa: PLC0415

    return Sealer(engine, _signer(key), [parse_anchor(one) for one in anchors or ()], anchor_every=anchor_every)


def _why_nothing(engine: "Engine") -> str:
    from dealgate.adapters.database import READS_ONLY  # noqa: PLC0415
    from dealgate.models.sealing import count_waiting  # noqa: PLC0415

    with engine.connect().execution_options(**{READS_ONLY: True}) as connection:
        waiting = count_waiting(connection)
    return f"another sealer is at work, {waiting} entries wait" if waiting else "nothing waited to be sealed"


def _watch(sealer: "Sealer", interval: float) -> None:
    """Until SIGINT or SIGTERM; what waits then is still sealed and anchored."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    sealer.watch(stop, interval)


@contextmanager
def ledger_database(db: str) -> "Iterator[Engine]":
    from dealgate.adapters.database import open_kept, stored  # noqa: PLC0415

    with stored(db):  # it is there, and at the revision that this dealgate needs
        pass
    engine = open_kept(db)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def ledger_exit_codes() -> Iterator[None]:
    """What is wrong with a key, a note, a proof or a request is bad input; the rest as everywhere."""
    from dealgate.adapters.anchors.anchor import AnchorError  # noqa: PLC0415
    from dealgate.models.erasure import ErasureError, NoticeError  # noqa: PLC0415
    from dealgate.models.ledger import UnknownDealError  # noqa: PLC0415
    from dealgate.models.merkle import ProofError  # noqa: PLC0415
    from dealgate.models.signing import NoteError  # noqa: PLC0415

    with exit_codes():
        try:
            yield
        except (NoteError, ProofError, AnchorError, ErasureError, UnknownDealError, NoticeError) as error:
            refuse([error])
