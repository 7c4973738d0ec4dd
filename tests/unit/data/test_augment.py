"""Augmentation of minibatches."""

from __future__ import annotations

import numpy as np
import pytest

from sparkweave.data.augment import Augmentation, Crop, Cutout, Flip, parse_augmentations
from sparkweave.errors import ConfigError

ALL = ["flip", "crop:2", "cutout:3"]


def batch(count: int = 64, height: int = 9, width: int = 7, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (count, height, width, channels), dtype=np.uint8)


def test_names_become_steps_in_their_order() -> None:
    assert parse_augmentations(["cutout:8", "flip", "crop:2"]).steps == (Cutout(8), Flip(), Crop(2))


def test_no_names_leave_the_images_alone() -> None:
    images = batch()
    assert parse_augmentations([])(images, np.random.default_rng(0)) is images
    assert parse_augmentations(()) == Augmentation()


@pytest.mark.parametrize("names", [[name] for name in ALL] + [ALL])
@pytest.mark.parametrize("shape", [(64, 9, 7, 3), (5, 28, 28, 1), (1, 1, 1, 1), (0, 4, 4, 1)])
def test_shape_and_kind_stay_and_the_input_is_not_changed(names: list[str], shape: tuple[int, ...]) -> None:
    images = batch(*shape)
    before = images.copy()
    changed = parse_augmentations(names)(images, np.random.default_rng(1))
    assert changed.shape == shape
    assert changed.dtype == np.uint8
    assert changed.flags.c_contiguous
    assert np.array_equal(images, before)
    assert not np.shares_memory(images, changed) or not changed.size


def test_the_generator_is_the_only_source_of_chance() -> None:
    augment = parse_augmentations(ALL)
    one, again, other = (augment(batch(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_read_only_images_are_accepted() -> None:
    images = batch()
    images.flags.writeable = False
    parse_augmentations(ALL)(images, np.random.default_rng(0))


def test_flip_mirrors_about_half_of_the_images() -> None:
    images = batch(1000)
    changed = Flip()(images, np.random.default_rng(0))
    mirrored = (changed == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (changed == images).all(axis=(1, 2, 3))).all()
    assert 400 < mirrored.sum() < 600


def test_crop_shifts_every_way_and_fills_with_black() -> None:
    images = batch(500)
    changed = Crop(1)(images, np.random.default_rng(0))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    seen = set()
    for index, image in enumerate(changed):
        shifts = [
            (y, x) for y in range(3) for x in range(3) if np.array_equal(image, padded[index, y : y + 9, x : x + 7])
        ]
        assert len(shifts) == 1
        seen.update(shifts)
    assert len(seen) == 9


def test_cutout_blackens_a_square_cut_off_at_the_border() -> None:
    images = batch(500)
    changed = Cutout(4)(images, np.random.default_rng(0))
    sizes = set()
    for before, after in zip(images, changed, strict=True):
        black = (after == 0).all(axis=2)
        rows, columns = np.flatnonzero(black.any(axis=1)), np.flatnonzero(black.any(axis=0))
        assert black[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert np.array_equal(after[~black], before[~black])
        sizes.add((len(rows), len(columns)))
    assert max(sizes) == (4, 4)
    assert min(sizes) == (2, 2)


def test_a_cutout_larger_than_the_image_blackens_what_it_covers() -> None:
    assert not Cutout(100)(batch(), np.random.default_rng(0)).any()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("flop", r"'flop' is unknown \(did you mean 'flip'\?\); choose from flip, crop:PIXELS, cutout:PIXELS"),
        ("", "is unknown; choose from"),
        ("flip:2", "takes no size; write 'flip'"),
        ("crop", "'crop' needs a size from 1 to 1024 pixels, such as 'crop:2'"),
        ("crop:", "needs a size"),
        ("crop:0", "needs a size"),
        ("crop:-1", "needs a size"),
        ("crop:1.5", "needs a size"),
        ("crop:²", "needs a size"),
        ("cutout:99999", "needs a size"),
        ("cutout:" + "9" * 5000, "needs a size"),
        (3, "3 is unknown"),
    ],
)
def test_a_name_that_breaks_the_rule_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_augmentations([name])
