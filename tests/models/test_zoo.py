from __future__ import annotations

import pytest

from yolov7.errors import ArchitectureError
from yolov7.models.architecture import VARIANTS
from yolov7.models.zoo import NETWORKS, find_architecture


def test_names_are_unique_and_each_is_found():
    names = [network.name for network in NETWORKS]
    assert len(set(names)) == len(names) == 31
    assert all(find_architecture(network.name) is network for network in NETWORKS)


def test_no_network_is_there_twice_under_two_names():
    assert len({repr(network).replace(repr(network.name), "") for network in NETWORKS}) == len(NETWORKS)


def test_an_unknown_name_lists_the_variants_and_says_where_the_others_are():
    with pytest.raises(ArchitectureError, match="yolov7 models --all") as error:
        find_architecture("yolov8")
    assert "'yolov8'" in str(error.value)
    assert all(variant.name in str(error.value) for variant in VARIANTS)
