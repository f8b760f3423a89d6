from pymc_sgld.validate import and_more, did_you_mean


def test_names_beyond_the_third_are_counted():
    assert and_more(["a", "b", "c"]) == "a, b, c"
    assert and_more(f"z[{i}]" for i in range(5)) == "z[0], z[1], z[2] and 2 more"


def test_the_nearest_word_is_suggested():
    assert did_you_mean("stepsize", {"step_size", "batch_size"}) == " Did you mean 'step_size'?"
    assert did_you_mean("x", {"step_size"}) == ""
