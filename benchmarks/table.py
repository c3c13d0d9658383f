"""The results as tables in Markdown. Pure. What a figure is, `benchmarks.figures` says."""

from collections.abc import Callable, Iterator, Sequence

from benchmarks.children import CHILDREN
from benchmarks.figures import (
    NOTHING,
    Figure,
    Pick,
    Results,
    child_weight,
    children_in,
    counts_in,
    figure,
    has_own_child,
    latency,
    opened,
    processor,
    rate,
    ways_in,
    weight,
)
from benchmarks.programs import OURS, WAYS, Way


def number(value: float) -> str:
    """A figure in as many digits as mean something."""
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}" if value < 1 else f"{value:.1f}"


def box(found: Figure | None) -> str:
    """A figure as the text of a box."""
    if found is None:
        return NOTHING
    middle, least, most = (number(each) for each in (found.spread.median, found.spread.least, found.spread.most))
    if found.rounds > 1:
        middle += f" ({least}–{most})"
    return middle if found.ratio is None else f"{middle} **{number(found.ratio)}×**"


def name_of(way: Way) -> str:
    """What a row is called; ours stand out."""
    title = f"{way.title}, with spares" if way.warm else way.title
    return f"**{title}**" if way.program == OURS else title


def rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---", *(["--:"] * (len(head) - 1))], *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def openings(results: Results) -> str:
    """How long it takes to open a session, by the child; only those that start a child are compared."""
    children = children_in(results)
    head = ["ms, the list of tools included", "a child for each session"]
    head += [f"{CHILDREN[child].title}{how}" for child in children for how in (", one at a time", ", four at once")]
    body = []
    for way in ways_in(results):
        boxes = [box(opened(results, way, child, how)) for child in children for how in ("alone", "four")]
        body.append([name_of(way), has_own_child(results, way), *boxes])
    return rows(head, body)


def at_counts(results: Results, unit: str, pick: Callable[[int], Pick], counts: Sequence[int]) -> str:
    """Something of the trivial child at numbers of sessions."""
    body = [
        [name_of(way), *(box(figure(results, way.name, "trivial", pick(count))) for count in counts)]
        for way in ways_in(results)
        if not way.warm
    ]
    return rows([unit, *(f"{count:,} session{'s' * (count > 1)}" for count in counts)], body)


def latencies(results: Results, sessions: int) -> str:
    """p50 and p99 of calls, by the child."""
    children = children_in(results)
    head = [
        f"ms, {sessions} sessions",
        *(f"{CHILDREN[child].title}, {what}" for child in children for what in ("p50", "p99")),
    ]
    body = [
        [
            name_of(way),
            *(
                box(figure(results, way.name, child, latency(what, sessions)))
                for child in children
                for what in ("p50", "p99")
            ),
        ]
        for way in ways_in(results)
        if not way.warm
    ]
    return rows(head, body)


def left(results: Results) -> str:
    """What is left behind."""
    body = []
    for row in results["left"]:
        way = WAYS[row["way"]]
        if "failure" in row:
            body.append([name_of(way), row["failure"], *[NOTHING] * 4])
            continue
        gone, killed = row["vanished"], row["killed"]
        boxes = (gone["most"], gone["processes"], gone["descriptors"], killed["most"], killed["processes"])
        body.append([name_of(way), *map(str, boxes)])
    head = [
        "",
        "processes for the sessions",
        "left of them",
        "descriptors left",
        "processes when it was killed",
        "left of them",
    ]
    return rows(head, body) if body else ""


def notes(results: Results) -> str:
    """What did not work, and what should not have: a line for each."""
    said = dict.fromkeys(_notes(results))
    return "".join(f"- {line}\n" for line in said)


def _notes(results: Results) -> Iterator[str]:
    for cell in results["cells"]:
        way, child = WAYS[cell["way"]], CHILDREN[cell["child"]].title
        title = name_of(way)
        if "failure" in cell:
            yield f"{title}, {child}: {cell['failure']}"
        elif "stopped" in cell:
            yield f"{title}, {child}: stopped at {cell['stopped']['at']}, because: {cell['stopped']['why']}"
    for way in ways_in(results):
        if any(
            calls["foreign"] for cell in results["cells"] if cell["way"] == way.name for calls in cell.get("calls", [])
        ):
            yield f"{name_of(way)}: sessions were sent the answers to other sessions' calls"


def about(results: Results) -> str:
    """What was run, on what."""
    facts = results["facts"]
    rounds = max((cell["round"] for cell in results["cells"]), default=0)
    versions = ", ".join(f"{program} {version}" for program, version in facts["versions"].items())
    return (
        f"{facts['date']}, {rounds} round{'s' * (rounds != 1)}, {facts['cores']} cores, Linux {facts['kernel']}, "
        f"Python {facts['python']}. {versions}.\n"
    )


def whole(results: Results) -> str:
    """All tables."""
    counts = counts_in(results)
    most = 10 if 10 in counts else max(counts, default=1)
    several = [count for count in counts if count > 1]
    parts = [
        about(results),
        "### Opening a session\n",
        openings(results),
        "### Processor time of the bridge for a call\n",
        at_counts(results, "ms", processor, counts),
        "### Calls per second\n",
        at_counts(results, "", rate, counts),
        "### How long a call takes\n",
        latencies(results, most),
        "### Memory of the bridge for each session\n",
        at_counts(results, "KiB", weight, several),
        "Of it, in the processes that are there without any session, too:\n",
        at_counts(results, "KiB", lambda count: weight(count, "lasting"), several),
        "### Memory of a server\n",
        at_counts(results, "MiB", child_weight, several),
        "### What is left behind\n",
        left(results),
        "### What did not work\n",
        notes(results) or "Nothing.\n",
    ]
    return "\n".join(parts)


def summary(results: Results) -> str:
    """The few figures that the README shows: the trivial child but for openings, and the time server's there."""
    slow = "time" if "time" in children_in(results) else "trivial"
    counts = counts_in(results)
    ten = 10 if 10 in counts else max(counts, default=1)
    many = 100 if 100 in counts else ten
    head = [
        "",
        "a child for each session",
        f"open a session on {CHILDREN[slow].title}, ms",
        f"processor time for a call, {ten} sessions, ms",
        "calls per second",
        f"memory for each of {many} sessions, KiB",
    ]
    body = []
    for way in ways_in(results):
        picks = (processor(ten), rate(ten), weight(many))
        boxes = [_brief(opened(results, way, slow, "alone"))]
        boxes += [_brief(figure(results, way.name, "trivial", pick)) for pick in picks]
        body.append([name_of(way), has_own_child(results, way), *boxes])
    return rows(head, body)


def _brief(found: Figure | None) -> str:
    if found is None:
        return NOTHING
    middle = number(found.spread.median)
    return middle if found.ratio is None else f"{middle} ({number(found.ratio)}×)"
