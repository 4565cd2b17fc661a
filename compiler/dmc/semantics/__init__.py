"""Names, types, symbolic sizes and mutability: from syntax to tensor-level IR."""
