"""The calls of the API, by the resource they are about."""
