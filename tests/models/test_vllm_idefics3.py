"""A picture that is not split counts as one patch, whatever transformers says."""

from services.models.vllm_idefics3 import count_at_least_one


class Info:
    def get_num_patches(self, *, image_width: int, image_height: int) -> int:
        return image_width // 128 * (image_height // 128) - 1


def test_an_unsplit_picture_is_one_patch_and_a_split_one_keeps_its_count():
    count_at_least_one(Info)
    assert Info().get_num_patches(image_width=128, image_height=128) == 1
    assert Info().get_num_patches(image_width=512, image_height=256) == 7


def test_mending_twice_wraps_once():
    count_at_least_one(Info)
    once = Info.get_num_patches
    count_at_least_one(Info)
    assert Info.get_num_patches is once
