"""The kinds of ``harness figure``: one module each, imported when it is called."""
