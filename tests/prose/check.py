#!/usr/bin/env python3
"""Measures the sentences of the project's pages: none over 35 words, the median of a page at most 20.
And looks whether each path that a page names is there: of exempt pages, too.

check.py          every page but those that exempt.txt lists
check.py PAGE…    these pages, exempt or not

Each fault is a line `page:line: …`; the exit code is 1 if there is one. Only python3 is needed.

A sentence ends at `.`, `!` or `?` before a space. A semicolon or a colon does not end it. A heading, a list item, and a table's cell
begin a new one. Code blocks, HTML comments and link targets are left out; `inline code` is one word, whatever stands in it.
Headings and cells count for the limit but not for the median: they are short, and would hide long prose.
"""

import re
import statistics
import sys
from pathlib import Path

MOST_WORDS = 35
MOST_MEDIAN = 20

ROOT = Path(__file__).resolve().parents[2]
EXEMPT = Path(__file__).resolve().with_name("exempt.txt")
PAGES = ["*.md", "docs/**/*.md", ".github/**/*.md"]
# Released versions are history; only what the next release will say is looked at.
ONLY_SECTION = {"CHANGELOG.md": "## Unreleased"}

ABBREVIATIONS = re.compile(r"\b(?:e\.g|i\.e|etc|cf|vs|no|Nos?|approx|St|Dr)\.$", re.IGNORECASE)
END = re.compile(r"[.!?]+[)\]\"'”’*_]*(?=\s|$)")
ITEM = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")
RULE = re.compile(r"^\s*\|?\s*:?-{3,}")
WORD = re.compile(r"\w")
PATH = re.compile(r"(?<![\w/.~$-])/?((?:src|tests|docs|charts|crds)/[\w./{},*-]*)")
# These pages name what was there.
OLD_PATHS = {"docs/contribute/renames.md", "CHANGELOG.md"}


def blocks(text, section=None):
    """(line number, text, is prose) of each paragraph, list item, heading and table cell."""
    found, open_block = [], None
    fence, comment, wanted = None, False, section is None

    def close():
        nonlocal open_block
        if open_block:
            found.append((open_block[0], open_block[1], True))
        open_block = None

    for number, line in enumerate(text.splitlines(), 1):
        marker = re.match(r"^\s*(?:[-*+]\s+)?(```+|~~~+)", line)
        if fence:
            if marker and marker[1].startswith(fence) and line.strip() == marker[1]:
                fence = None
            continue
        if marker:
            close()
            fence = marker[1]
            continue
        if section and line.startswith("## "):
            wanted = line.strip() == section
        if not wanted:
            close()
            continue
        if comment or "<!--" in line:
            comment = "-->" not in line
            continue
        line = re.sub(r"^\s*>\s?", "", line)
        if not line.strip() or RULE.match(line):
            close()
        elif line.startswith("#"):
            close()
            found.append((number, line.lstrip("#").strip(), False))
        elif line.lstrip().startswith("|"):
            close()
            # A pipe inside of code, or after a backslash, does not part cells.
            plain = re.sub(r"`[^`]*`", "code", line.strip().strip("|")).replace("\\|", "/")
            found.extend((number, cell, False) for cell in plain.split("|") if cell.strip())
        elif ITEM.match(line) or open_block is None:
            close()
            open_block = [number, ITEM.sub("", line)]
        else:
            open_block[1] += "\n" + line
    close()
    return found


def plain(text):
    """Without what a reader does not read as words."""
    text = re.sub(r"(`+)(?:(?!\1).|\n)*?\1", "code", text)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"<https?://[^>]*>|https?://\S+", "link", text)
    return text


def sentences(number, text):
    """(line number, words) of each sentence of a block."""
    text, start = plain(text), 0
    ends = [m.end() for m in END.finditer(text) if not ABBREVIATIONS.search(text[: m.end()])]
    for end in [*ends, len(text)]:
        part = text[start:end]
        words = [word for word in part.split() if WORD.search(word)]
        if words:
            line = number + text[: start + len(part) - len(part.lstrip())].count("\n")
            yield line, words
        start = end


def spelled_out(path):
    """`a/{b,c}.rs` as a/b.rs and a/c.rs."""
    braces = re.search(r"\{([^{}]*)\}", path)
    if not braces:
        return [path]
    parts = braces[1].split(",")
    return [one for part in parts for one in spelled_out(path[: braces.start()] + part.strip() + path[braces.end() :])]


def gone(name, text, root):
    """The paths that a page names and that are not below a directory, as lines."""
    if name in OLD_PATHS:
        return []
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        for path in (one for match in PATH.finditer(line) for one in spelled_out(match[1].rstrip(".,"))):
            if not (any(root.glob(path)) if "*" in path else (root / path).exists()):
                faults.append(f"{name}:{number}: there is no {path}")
    return faults


def check(name, text):
    """The faults of a page, as lines."""
    faults, lengths = [], []
    for number, block, prose in blocks(text, ONLY_SECTION.get(name)):
        for line, words in sentences(number, block):
            if len(words) > MOST_WORDS:
                faults.append(f"{name}:{line}: {len(words)} words, at most {MOST_WORDS}: {' '.join(words[:8])} …")
            if prose:
                lengths.append(len(words))
    median = statistics.median(lengths) if lengths else 0
    if median > MOST_MEDIAN:
        faults.append(f"{name}:1: the median sentence has {median:g} words, at most {MOST_MEDIAN}")
    return faults


def pages(root):
    """The names of all pages below a directory, as exempt.txt writes them."""
    return sorted({path.relative_to(root).as_posix() for glob in PAGES for path in root.glob(glob)})


def exempt(text):
    """The pages that an exempt.txt lists."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def check_all(root, exempted):
    """The faults of all pages. The list of exempt ones can only shrink: a page that needs it no longer is a fault, too."""
    faults, names = [], pages(root)
    for name in exempted:
        if name not in names:
            faults.append(f"{name}:1: there is no such page: take it off tests/prose/exempt.txt")
    for name in names:
        text = (root / name).read_text(encoding="utf-8")
        found = check(name, text)
        faults += gone(name, text, root)
        if name not in exempted:
            faults += found
        elif not found:
            faults.append(f"{name}:1: it keeps the limits now: take it off tests/prose/exempt.txt")
    return faults


def main(names):
    if names:
        texts = [(name, (ROOT / name).read_text(encoding="utf-8")) for name in names]
        faults = [fault for name, text in texts for fault in [*check(name, text), *gone(name, text, ROOT)]]
    else:
        faults = check_all(ROOT, exempt(EXEMPT.read_text(encoding="utf-8")))
    for fault in faults:
        print(fault)
    if faults:
        print(f"prose: {len(faults)} faults; write shorter sentences (docs/contribute/README.md)", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
