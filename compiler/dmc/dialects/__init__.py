"""The dialects: one file (or one package of files by family) each. Importing this loads all."""
