"""The text of a statement: its words, and where an INSERT ends and its rows begin."""

import re

# Quoted text, comments, words, blanks, and any other byte alone.
TOKEN = re.compile(
    rb"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|`(?:[^`\\]|\\.)*`|--[^\n]*|/\*.*?\*/|\w+|\s+|.", re.S
)
# As the engine's parser has it: blanks after the format's name, then one line break, are no data.
GAP = re.compile(rb"[ \t\f]*\r?\n?")


def words(text):
    """(word in upper case, its start, its end) of what stands outside of comments and parentheses."""
    depth = 0
    for match in TOKEN.finditer(text):
        token = match.group()
        if token == b"(":
            depth += 1
        elif token == b")":
            depth -= 1
        elif depth == 0 and not token.isspace() and not token.startswith((b"--", b"/*")):
            yield token.upper(), match.start(), match.end()


class Statement:
    """What a request asks for: `text`, and the rows `data` in `format` where rows follow an INSERT."""

    def __init__(self, text):
        self.text, self.data, self.format = text, None, None
        self.settings_at = None  # of an INSERT with rows: where its SETTINGS begin
        found = words(text)
        first = next(found, (None,))[0]
        self.is_empty, self.is_insert = first is None, first == b"INSERT"
        if self.is_insert:
            self._find_data(found)
        else:
            self._find_format(found)

    def _find_format(self, found):
        """SELECT … FORMAT name: the format of the answer."""
        before = None
        for word, start, end in found:
            if before == b"FORMAT":
                self.format = self.text[start:end].decode(errors="replace")
            before = word

    def _find_data(self, found):
        """INSERT … VALUES rows, INSERT … FORMAT name rows. Reads no further than that: rows are not SQL."""
        before = None
        for word, start, end in found:
            if before in (b"INTO", b"TABLE", b"."):
                pass  # a table's name, whatever it is
            elif word == b"SETTINGS":
                self.settings_at = start
            elif word in (b"SELECT", b"WITH"):
                return
            elif word == b"VALUES":
                self._cut(start, "Values", end)
                return
            elif word == b"FORMAT":
                _, start_of_name, end_of_name = next(found, (None, end, end))
                name = self.text[start_of_name:end_of_name].decode(errors="replace")
                self._cut(start, name, GAP.match(self.text, end_of_name).end())
                return
            before = word

    def _cut(self, end, name, start_of_data):
        self.text, self.format, self.data = self.text[:end], name, self.text[start_of_data:]

    def with_rows_from(self, path):
        """The same insert with its rows in a file."""
        at = len(self.text) if self.settings_at is None else self.settings_at
        return b"%s FROM INFILE '%s' %s FORMAT %s" % (self.text[:at], path, self.text[at:], self.format.encode())

    def is_several(self):
        """More than one statement: the engine's module would run them all."""
        if self.data is not None or b";" not in self.text:
            return False
        before = None
        for word, _, _ in words(self.text):
            if before == b";":
                return True
            before = word
        return False

    def reads_its_input(self):
        """INSERT INTO t SELECT … FROM input('…') FORMAT name rows."""
        return self.is_insert and self.data is None and re.search(rb"(?i)\bFROM\s+input\s*\(", self.text) is not None
