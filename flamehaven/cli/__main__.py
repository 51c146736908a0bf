"""`python -m flamehaven.cli` is the `flamehaven` command."""

from flamehaven.cli import main

main()
