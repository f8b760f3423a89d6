"""All lines of the table."""

from tests.bad_input import adversary, arguments, command_line, handed_in, models

LINES = [*arguments.LINES, *handed_in.LINES, *models.LINES, *command_line.LINES, *adversary.LINES]
