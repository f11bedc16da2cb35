"""Tests of check.py: wrong prose must be found, and what is no prose must not be."""

import tempfile
import unittest
from pathlib import Path

import check

LONG = "word " * 35 + "end."
SHORT = "Here are four words."


class Prose(unittest.TestCase):
    def faults(self, text, name="page.md"):
        return check.check(name, text)

    def one(self, text, line, words=36):
        found = self.faults(text)
        self.assertEqual([f"page.md:{line}: {words} words"], [fault.split(",")[0] for fault in found if " words, at most 35" in fault])

    def test_a_sentence_that_is_too_long_is_found_at_its_line(self):
        self.one(f"# Title\n\n{SHORT}\n{LONG}\n", 4)
        self.one(f"{SHORT} {SHORT}\nBegins here\n" + "word " * 34 + "end. More.", 2, 37)

    def test_it_is_found_wherever_it_stands(self):
        for before in ["", "- ", "1. ", "> ", "### ", "* "]:
            self.one(before + LONG, 1)
        self.one(f"| a | b |\n|---|---|\n| short | {LONG} |", 3)
        self.one(f"{LONG}\n\n```sh\ncode\n```", 1)

    def test_lines_of_one_sentence_belong_together(self):
        self.one("word " * 20 + "\n" + "word " * 15 + "end.", 1)
        self.one("- " + "word " * 20 + "\n  " + "word " * 15 + "end.", 1)

    def test_semicolons_colons_and_versions_end_no_sentence(self):
        for mark in ["; ", ": ", " 1.36 ", " (e.g. this), ", " v1.2.3 "]:
            text = "word " * 18 + "word" + mark + "word " * 18 + "end."
            self.assertEqual(1, len([f for f in self.faults(text) if "at most 35" in f]), mark)

    def test_the_limit_itself_is_allowed(self):
        self.assertEqual([], [f for f in self.faults("word " * 34 + "end.") if "at most 35" in f])

    def test_a_median_that_is_too_high_is_found(self):
        many = ("word " * 21 + "end. ") * 3
        self.assertEqual(["page.md:1: the median sentence has 22 words, at most 20"], self.faults(many))
        self.assertEqual([], self.faults(many + SHORT * 0 + (" " + SHORT) * 4))

    def test_short_headings_and_cells_do_not_hide_long_prose(self):
        table = "# A\n\n| a | b |\n|---|---|\n" + "| c | d |\n" * 9
        self.assertTrue(self.faults(table + "\n" + "word " * 29 + "end."))

    def test_code_comments_and_link_targets_are_not_read(self):
        for text in [
            f"```console\n{LONG}\n```",
            f"~~~\n{LONG}\n~~~",
            f"````md\n```\n{LONG}\n```\n````",
            f"<!-- {LONG} -->",
            f"<!--\n{LONG}\n-->",
            "`" + "word " * 40 + "`",
            "word " * 10 + "[a](https://example.com/a%20b) " * 9,
        ]:
            self.assertEqual([], self.faults(text), text)

    def test_of_the_changelog_only_what_is_not_released_is_read(self):
        text = f"# Changelog\n\n{LONG}\n\n## Unreleased\n\n{SHORT}\n\n## 0.1.0\n\n{LONG}\n"
        self.assertEqual([], self.faults(text, "CHANGELOG.md"))
        self.assertTrue(self.faults(text.replace(SHORT, LONG), "CHANGELOG.md"))

    def test_a_path_that_is_not_there_is_found(self):
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            (root / "src" / "a").mkdir(parents=True)
            (root / "src" / "a" / "b.rs").write_text("")
            fine = "See `src/a/b.rs`, `src/a/`, `src/*/{b,b}.rs`, other/src/c.rs and docs.rs/src. The file src/a/b.rs.\n"
            self.assertEqual([], check.gone("page.md", fine, root))
            wrong = "Here.\n`src/a/{b,c}.rs` and [a](../../docs/x.md) and /tests/d/\n"
            self.assertEqual(
                ["page.md:2: there is no src/a/c.rs", "page.md:2: there is no tests/d/"], check.gone("page.md", wrong, root)
            )
            self.assertEqual([], check.gone("CHANGELOG.md", wrong, root))
            (root / "docs").mkdir()
            (root / "docs" / "old.md").write_text(f"{LONG} It names src/gone.")
            self.assertEqual(["docs/old.md:1: there is no src/gone"], check.check_all(root, ["docs/old.md"]))

    def test_the_list_of_exempt_pages_can_only_shrink(self):
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            (root / "docs" / "adr").mkdir(parents=True)
            (root / "README.md").write_text(SHORT)
            (root / "docs" / "old.md").write_text(LONG)
            (root / "docs" / "adr" / "new.md").write_text(LONG)
            both = check.check_all(root, [])
            self.assertEqual({"docs/old.md", "docs/adr/new.md"}, {fault.split(":")[0] for fault in both})
            self.assertEqual({"docs/adr/new.md"}, {f.split(":")[0] for f in check.check_all(root, ["docs/old.md"])})
            (root / "docs" / "adr" / "new.md").write_text(SHORT)
            self.assertEqual([], check.check_all(root, ["docs/old.md"]))
            self.assertIn("README.md:1: it keeps the limits now", check.check_all(root, ["docs/old.md", "README.md"])[0])
            self.assertIn("docs/gone.md:1: there is no such page", check.check_all(root, ["docs/old.md", "docs/gone.md"])[0])


if __name__ == "__main__":
    unittest.main()
