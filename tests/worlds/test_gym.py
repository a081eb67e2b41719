"""Any world as a Gymnasium environment: what Gymnasium's own checker demands, and no truth in anything it gives."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from services.worlds.gym import ID, WorldEnv, make, register
from services.worlds.household.tasks import make_task


@pytest.fixture
def env():
    env = make(frame=64)
    yield env
    env.close()


def test_the_environment_passes_gymnasiums_checker_without_a_warning():
    register()
    register()
    env = gymnasium.make(ID, frame=64)
    check_env(env.unwrapped)


def test_the_same_seed_gives_the_same_episodes_one_after_the_other(env):
    def play() -> list[np.ndarray]:
        return [env.reset(seed=5)[0], env.reset()[0], env.reset()[0]]

    first, second = play(), play()
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first[0], first[1])


def test_an_episode_can_be_chosen_by_its_own_seed_and_task(env):
    frame, info = env.reset(options={"episode": 3, "task": make_task("pick", "knife")})
    assert info["instruction"] == "pick up the knife"
    again, _ = env.reset(
        options={"episode": 3, "task": {"id": "x", "instruction": "i", "verb": "pick", "object": "knife"}}
    )
    np.testing.assert_array_equal(frame, again)


def test_neither_rewards_nor_infos_nor_endings_tell_that_the_goal_holds(env):
    _, info = env.reset(options={"episode": 3, "task": make_task("pick", "knife")})
    assert set(info) == {"instruction", "admissible", "error"}
    for action in ("find knife", "open drawer", "open cabinet", "open fridge", "pick up knife"):
        _, reward, terminated, truncated, info = env.step(action)
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert set(info) == {"instruction", "admissible", "error"}
    assert env.world.truth().success
    assert env.step("done")[1:4] == (0.0, True, False)


def test_rendering_gives_the_third_person_view(env):
    env.reset(seed=1)
    np.testing.assert_array_equal(env.render(), env.world.third_person())


def test_an_unknown_render_mode_is_refused(env):
    with pytest.raises(ValueError, match="use 'rgb_array' or None"):
        WorldEnv(env.world, render_mode="human")
