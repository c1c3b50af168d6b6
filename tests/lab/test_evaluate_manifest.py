"""Tests of the manifest: what is compared is drawn from names alone, once, and cannot be drawn again."""

import json

import pytest
import torch

from lab.evaluate.manifest import (
    COMMITTED,
    INPUTS,
    LEVELS,
    PHONE,
    REFERENCES,
    Manifest,
    Spoiling,
    make_manifest,
    read_committed,
)
from lab.evaluate.phone import PhoneShot

NAMES = [f"{i:02d}.jpg" for i in range(8)]


def _people(count: int = 3) -> dict[str, list[str]]:
    return {f"anna_{i}": NAMES for i in range(count)}


def test_committed_manifest_is_what_its_names_give() -> None:
    """Drawing again from the photo names in the committed manifest gives that very file."""
    people = {
        person["person"]: [entry["photo"].split("/")[1] for part in ("references", "trials") for entry in person[part]]
        for person in read_committed().values()
    }
    manifest, few = make_manifest(people)
    assert not few
    assert manifest.text() == COMMITTED.read_text()
    assert len(manifest.people) == 30


def test_everybody_is_drawn_alone() -> None:
    """Other people in a dataset change nothing about a person's entry."""
    alone, _ = make_manifest({"anna_1": NAMES})
    among, _ = make_manifest(_people())
    assert alone.people[0] == among.people[1]


def test_reference_is_no_trial() -> None:
    """No photo is both a reference and a trial, and every photo is one of them."""
    manifest, _ = make_manifest(_people())
    for person in manifest.people:
        references = [reference.photo for reference in person.references]
        trials = [trial.photo for trial in person.trials]
        assert len(references) == REFERENCES
        assert sorted(references + trials) == [f"{person.person}/{name}" for name in NAMES]
        assert all(set(trial.inputs) == set(INPUTS) for trial in person.trials)


def test_too_few_photos_are_named() -> None:
    """Who has no photo left to test with is returned by name."""
    manifest, few = make_manifest({**_people(1), "bert": NAMES[:REFERENCES]})
    assert [person.person for person in manifest.people] == ["anna_0"]
    assert few == ["bert"]


def test_levels_grow_worse() -> None:
    """Each of the five levels takes every parameter of the degradation from its own fifth of the range."""
    manifest, _ = make_manifest(_people())
    for person in manifest.people:
        for trial in person.trials:
            draws = [trial.inputs[level].rounds[0] for level in LEVELS]
            for before, after in zip(draws[:-1], draws[1:], strict=True):
                assert before.blur_sigma < after.blur_sigma
                assert before.downscale < after.downscale
                assert before.jpeg > after.jpeg


@pytest.mark.parametrize("name", INPUTS)
def test_spoiling_repeats(name: str) -> None:
    """The same entry gives the same picture to the bit, within [-1, 1], and another entry another one."""
    manifest, _ = make_manifest(_people(1))
    x = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    first, second, *_ = (trial.inputs[name] for trial in manifest.people[0].trials)
    assert torch.equal(first(x), first(x))
    assert first(x).abs().max() <= 1
    assert not torch.equal(first(x), x)
    assert not torch.equal(first(x), second(x))


def test_phone_moves_along_its_line() -> None:
    """Motion blur spreads a point along the line of the movement and not across it."""
    point = torch.full((3, 128, 128), -1.0)
    point[:, 64, 64] = 1.0
    across = PhoneShot(motion=80.0, angle=0.0, downscale=1.0, gamma=1.0, photons=1e6, jpeg=100.0)
    bright = (Spoiling(0, phone=across)(point)[1] > -0.95).nonzero()
    height, width = (bright.max(0).values - bright.min(0).values).tolist()
    assert width > 12
    assert height < 6


def test_words_name_the_fault() -> None:
    """An input is called after its degradation; a phone's is called a phone's."""
    manifest, _ = make_manifest(_people(1))
    inputs = manifest.people[0].trials[0].inputs
    assert inputs[PHONE].words() == (PHONE,)
    assert "blurry" in inputs["heavy"].words()


@pytest.mark.parametrize(("people", "photos"), [(1, None), (None, 1), (2, 2)])
def test_limited_is_a_part(people: int | None, photos: int | None) -> None:
    """A limited manifest holds the first people and trials, unchanged."""
    manifest, _ = make_manifest(_people())
    listed = {person["person"]: person for person in json.loads(manifest.text())["people"]}
    limited = manifest.limited(people, photos)
    assert limited.is_part_of(listed)
    assert len(limited.people) == (people or 3)
    assert all(len(person.trials) == (photos or 3) for person in limited.people)
    assert limited.sha256 != manifest.sha256


def test_another_draw_is_no_part() -> None:
    """A manifest over other photos is told apart from the committed one."""
    manifest, _ = make_manifest({"person_00": NAMES})
    assert not manifest.is_part_of(read_committed())
    assert Manifest(()).is_part_of({})
