"""The version of Resona, as the API and the User-Agent show it."""

VERSION = "0.2.0"
