"""From Markdown to whole sentences."""

import pytest

from agentplatform.simulator.answering.markdown import plain_inline
from agentplatform.simulator.answering.sentences import sentences_of, split_sentences

DOCUMENT = """# Leases

A **lease** lasts `15 s`, see [the design](design.md). It is
renewed every 5 s!

| column | other |
|---|---|
| cell | cell |

```python
print("Not prose.")
```

The rules are:

- Each worker renews its own leases
- The reaper never waits. It runs
  in a loop.

Last words
"""


def texts(text: str) -> list[str]:
    """The sentences as text."""
    return [sentence.text for sentence in sentences_of(text)]


def test_prose_is_kept_and_markup_headings_tables_and_code_are_not() -> None:
    """List items count; a line that introduces a list and an unfinished one do not."""
    assert texts(DOCUMENT) == [
        "A lease lasts 15 s, see the design.",
        "It is renewed every 5 s!",
        "Each worker renews its own leases",
        "The reaper never waits.",
        "It runs in a loop.",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "Use a queue, e.g. the standard one, for this.",
        "Dr. Smith wrote settings.py in version 5.7 of the code.",
        "It costs $1.50 per million tokens, vs. $2.00 before.",
        'He said "Stop." and left.',
        "See fig. 3 for the path.",
    ],
)
def test_a_full_stop_inside_a_sentence_does_not_end_it(sentence: str) -> None:
    """Abbreviations, versions, amounts, file names and quotations."""
    assert split_sentences(f"{sentence} Next one.") == [sentence, "Next one."]


def test_fragments_at_either_end_of_a_passage_are_dropped() -> None:
    """A passage is often cut out of the middle of a text."""
    assert texts("of the previous sentence. This one is whole. This one is not fini") == [
        "This one is whole."
    ]


def test_a_cut_off_list_item_is_dropped() -> None:
    """Its earlier sentences stay."""
    assert texts("- The first is whole. The second is cut in mid") == ["The first is whole."]


def test_sentences_of_other_scripts_are_split() -> None:
    """By their own full stops."""
    assert texts("租户提交工作流。系统执行它。") == ["租户提交工作流。", "系统执行它。"]


@pytest.mark.parametrize(
    ("markup", "plain"),
    [
        ("**bold** and *slanted* and __both__", "bold and slanted and both"),
        ("`code_name` stays, snake_case_name too", "code_name stays, snake_case_name too"),
        ("![image](x.png) text [link](y) end", "text link end"),
        ("<b>tag</b> and &amp; and 2 * 3 * 4", "tag and & and 2 * 3 * 4"),
    ],
)
def test_inline_markup_is_removed(markup: str, plain: str) -> None:
    """And nothing that only looks like it."""
    assert plain_inline(markup) == plain


def test_a_long_line_is_split_in_reasonable_time() -> None:
    """A megabyte without a line break, with a bound far above what linear work needs."""
    text = "The worker renews its lease. " * 36_000
    assert len(split_sentences(text)) == 36_000
