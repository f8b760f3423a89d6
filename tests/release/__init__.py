"""What a release is checked by before it is one: `make release-check` and `make test-matrix`."""
