"""Writes scikit-learn's handwritten digits as arrays: `data/train.npz` and `data/test.npz`.

1,797 images of 8 by 8 pixels (Alpaydin and Kaynak, 1998; UCI machine learning repository) ship
inside scikit-learn, so nothing is downloaded. A fifth of each class is held out as test data.
`x` is f32[N, 64], pixels standardised with the training part's mean and spread; `y` is i32[N].
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from dmc_runtime import keys

SEED = 0
HELD_OUT = 0.2
FOLDER = Path(__file__).parent / "data"


def held_out(labels: np.ndarray) -> np.ndarray:
    """A mask that is true for the same fraction of every class."""
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = keys.permutation(keys.fold(keys.key(SEED), int(label)), len(members))
        mask[members[order[: round(HELD_OUT * len(members))]]] = True
    return mask


def main(folder: Path = FOLDER) -> None:
    pixels, classes = load_digits(return_X_y=True)
    labels = classes.astype(np.int32)
    test = held_out(labels)
    train_pixels = pixels[~test]
    # A floor on the spread: pixels at the rim are almost always 0.
    mean, spread = train_pixels.mean(axis=0), np.maximum(train_pixels.std(axis=0), 1.0)
    images = ((pixels - mean) / spread).astype(np.float32)
    folder.mkdir(exist_ok=True)
    for name, mask in {"train": ~test, "test": test}.items():
        path = folder / f"{name}.npz"
        np.savez_compressed(path, x=images[mask], y=labels[mask])
        print(f"{path}: {mask.sum()} images")


if __name__ == "__main__":
    main()
