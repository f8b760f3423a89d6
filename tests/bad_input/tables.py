"""All lines of the table."""

from tests.bad_input import arguments, handed_in

LINES = [*arguments.LINES, *handed_in.LINES]
