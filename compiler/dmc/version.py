"""The version of dmc."""

VERSION = "0.1.0"
