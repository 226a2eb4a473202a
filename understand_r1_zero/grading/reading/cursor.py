"""A position in a list of tokens: what the readers of expressions share."""

from collections.abc import Sequence

from understand_r1_zero.grading.reading.latex import Kind, Token, Unreadable


class Cursor:
    """Tokens taken one after another, spaces skipped."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = list(tokens)
        self._position = 0

    @property
    def next(self) -> Token | None:
        """The next token, or None at the end."""
        while self._position < len(self._tokens):
            if self._tokens[self._position].kind is not Kind.SPACE:
                return self._tokens[self._position]
            self._position += 1
        return None

    def take(self) -> Token:
        """The next token, passed; `Unreadable` at the end."""
        token = self.next
        if token is None:
            raise Unreadable("it ends too early")
        self._position += 1
        return token

    def takes(self, *texts: str) -> bool:
        """Whether the next tokens are these; if so, they are passed."""
        before = self._position
        for text in texts:
            if self.next is None or self.next.text != text:
                self._position = before
                return False
            self._position += 1
        return True

    def expect(self, text: str) -> None:
        """Pass this token; `Unreadable` for any other."""
        if (token := self.take()).text != text:
            raise Unreadable(f"expected {text!r}, found {token.text!r}")

    def until_closed(self) -> str:
        """The text up to the `}` of the group that was opened last, both passed."""
        depth, text = 0, ""
        while (token := self.take()).text != "}" or depth:
            depth += (token.kind is Kind.OPEN) - (token.kind is Kind.CLOSE)
            text += token.text
        return text

    def take_digit(self) -> Token | None:
        """The first digit of a whole number that comes next, as LaTeX takes an argument, or None."""
        token = self.next
        if token is None or token.kind is not Kind.NUMBER or not token.text.isdecimal():
            return None
        digit, rest = Token(Kind.NUMBER, token.text[0]), Token(Kind.NUMBER, token.text[1:])
        if rest.text:
            self._tokens[self._position : self._position + 1] = [digit, rest]
        return self.take()

    def ahead(self, num_tokens: int) -> list[Token]:
        """The next tokens, spaces among them, none passed."""
        return self._tokens[self._position : self._position + num_tokens]

    def behind(self) -> Token | None:
        """The last token that was passed, or None."""
        passed = self._tokens[: self._position]
        return next((token for token in reversed(passed) if token.kind is not Kind.SPACE), None)

    @property
    def position(self) -> int:
        """Where it stands; set it to go back."""
        return self._position

    @position.setter
    def position(self, position: int) -> None:
        self._position = position

    def opens_arguments(self) -> bool:
        """Whether a bracket opens next that holds a comma of its own, or one number."""
        inner: list[Token] = []
        depth = 0
        for token in self._tokens[self._position :]:
            depth += (token.kind is Kind.OPEN) - (token.kind is Kind.CLOSE)
            if depth == 0:
                break
            if depth == 1 and token.text == ",":
                return True
            inner.append(token)
        return [token.kind for token in inner] == [Kind.OPEN, Kind.NUMBER]
