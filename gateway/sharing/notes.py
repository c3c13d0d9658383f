"""What is noted of one lane for the gateway after this one, in the notes of whichever child the lane has."""

from gateway.hotstate import NoNotes, Notes


class LaneNotes:
    """The notes of one lane. Lines, and the end of the lease, are the child's affair."""

    def __init__(self) -> None:
        self._notes: Notes = NoNotes()
        self._calls: set[int] = set()
        self._questions: set[bytes] = set()

    def __repr__(self) -> str:
        return f"<LaneNotes: {len(self._calls)} calls, {len(self._questions)} questions>"

    @property
    def questions(self) -> tuple[bytes, ...]:
        """The child's questions that are open."""
        return tuple(self._questions)

    def go(self, notes: Notes) -> None:
        """From now on they are in `notes`."""
        for call in self._calls:
            self._notes.finish(call)
            notes.begin(call)
        for question in self._questions:
            self._notes.settle(question)
            notes.ask(question)
        self._notes = notes

    def begin(self, call: int) -> None:
        """The request `call` is in flight."""
        self._calls.add(call)
        self._notes.begin(call)

    def finish(self, call: int) -> None:
        """It no longer is."""
        self._calls.discard(call)
        self._notes.finish(call)

    def ask(self, question: bytes) -> None:
        """The child's `question` is open."""
        self._questions.add(question)
        self._notes.ask(question)

    def settle(self, question: bytes) -> None:
        """It no longer is."""
        self._questions.discard(question)
        self._notes.settle(question)

    def begin_line(self) -> None:
        """Nothing."""

    def end_line(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
