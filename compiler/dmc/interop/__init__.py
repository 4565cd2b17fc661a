"""Bridges to other libraries, each loaded when it is first asked for, as `dmc.scipy`.

Their packages are extras; one that is missing raises `dmc.Error` saying how to install it.
"""
