"""To be run from a timer: decides what was changed behind the application, and notes in the ledger that it was."""

from origination.gate import gate, work_of


def main() -> None:
    with work_of("sweep") as session:
        for answered in gate.answer(session, actor="sweep"):
            print(*answered.key, answered.problem or answered.outcome or "is gone")


if __name__ == "__main__":
    main()
