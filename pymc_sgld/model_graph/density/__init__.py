"""What a row model is, and how it is evaluated on blocks of rows."""
