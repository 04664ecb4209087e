"""Where nothing may be written: among somebody's images."""

import pytest
from support import write_folder

from gift.data.output import refuse_data


@pytest.mark.parametrize("splits", [("train", "test"), ("Training", "valid")])
@pytest.mark.parametrize("place", ["", "report", "0/report"])
def test_nothing_is_written_among_the_images_of_a_data_set(tmp_path, splits, place):
    place = place.replace("0", splits[0])
    for split in splits:
        write_folder(tmp_path / "pets" / split, ("cat", "dog"), count=1, size=4)
    out = tmp_path / "pets" / place
    with pytest.raises(
        ValueError, match=r"the report .*pets.* would lie among the images in .*pets"
    ):
        refuse_data(out, "the report")


def test_a_folder_of_its_own_is_no_data_set(tmp_path):
    write_folder(tmp_path / "pets", ("cat", "dog"), count=1, size=4)
    refuse_data(tmp_path / "report", "the report", tmp_path / "pets")
    with pytest.raises(ValueError, match="would lie among the images"):
        refuse_data(tmp_path / "pets" / "mine", "the learner folder", tmp_path / "pets")
