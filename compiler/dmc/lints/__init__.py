"""What is allowed and hardly ever meant: warnings of `dmc check`, codes `lint.*`.

A lint would rather say nothing than something false: what it does not understand it passes over.
"""
