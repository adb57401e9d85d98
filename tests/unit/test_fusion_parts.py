"""The parts of the fusion on meshes made by hand: surface, drawing, shape, light."""

from __future__ import annotations

import numpy as np
import pytest

from facechain.fusion.blend import blended, levelled
from facechain.fusion.face import _without_nose_line
from facechain.fusion.grain import with_grain_of
from facechain.fusion.light import Lit, Zones, relit, shade_tint, skin_light
from facechain.fusion.maps import draw_maps
from facechain.fusion.masks import from_outside, mouth_gap, mouth_lift, open_mouth, ring_mask, smooth_step
from facechain.fusion.raster import normals, rasterise
from facechain.fusion.sampling import blurred, resized, sample
from facechain.fusion.shape import mixed_shape, similarity_fit
from facechain.fusion.topology import INNER_LIPS, LEFT_EYE, RIGHT_EYE, atlas, surface


def lit(picture: np.ndarray, width: float) -> Lit:
    """A picture that is bare skin all over, and its light."""
    skin = np.ones(picture.shape[:2], np.float32)
    return Lit(picture, skin_light(picture, skin, width), skin)


def zones(skin: np.ndarray, *, broad: float = 0, folds: float = 0) -> Zones:
    return Zones(skin, broad * skin, folds * skin)


def placed(scale: float = 100.0, turn: float = 0.0, x: float = 80.0, y: float = 90.0) -> np.ndarray:
    """The canonical face, turned about the vertical axis by degrees, in pixels."""
    angle = np.radians(turn)
    turned = surface().points @ np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    return turned * scale + [x, y, 0]


def test_surface_is_whole_and_symmetric() -> None:
    face = surface()
    assert face.points.shape == (468, 3) and len(np.unique(face.triangles)) == 468
    assert (face.mirror[face.mirror] == np.arange(468)).all()
    assert [int(face.mirror[i]) for i in (33, 61, 10)] == [263, 291, 10]
    edges = np.sort(face.triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    assert np.unique(edges, axis=0, return_counts=True)[1].max() == 2  # no edge belongs to three triangles


def test_rasterised_values_are_interpolated() -> None:
    mesh = placed()
    coverage = rasterise(mesh, (180, 160))
    places = coverage.values(mesh[:, :2])
    rows, columns = np.nonzero(coverage.inside)
    assert len(rows) > 6000
    np.testing.assert_allclose(places[rows, columns], np.stack([columns, rows], 1), atol=0.02)
    assert not coverage.inside[:, :20].any()


def test_near_parts_hide_far_ones() -> None:
    mesh = placed(turn=50)
    depth = rasterise(mesh, (180, 160)).values(mesh[:, 2:])
    nose = np.round(mesh[1, :2]).astype(int)
    assert abs(depth[nose[1], nose[0], 0] - mesh[1, 2]) < 6


def test_a_face_partly_outside_the_picture() -> None:
    coverage = rasterise(placed(x=0, y=0), (60, 50))
    assert coverage.inside[0, 0] and coverage.inside.shape == (60, 50)
    assert not rasterise(placed(x=-500), (60, 50)).inside.any()


def test_normals_tell_which_way_the_surface_looks() -> None:
    frontal, turned = normals(placed()), normals(placed(turn=60))
    assert frontal[151] > 0.8 and frontal.mean() > 0.5
    halves = sorted(float(turned[list(ring)].mean()) for ring in (RIGHT_EYE, LEFT_EYE))
    assert halves[0] < halves[1] - 0.3


def test_similarity_fit_undoes_a_similarity() -> None:
    target = placed(scale=80, turn=20, x=50, y=60)
    fitted = similarity_fit(placed(scale=130, turn=-15), target, np.arange(468))
    np.testing.assert_allclose(fitted, target, atol=1e-6)


def test_shape_takes_proportions_and_leaves_the_expression() -> None:
    target, source = placed(), placed(scale=140, turn=10)
    target[list(INNER_LIPS)[:10], 1] += 8  # the target's mouth is open
    wide = source.copy()
    middle = source[:, 0].mean()
    wide[:, 0] = middle + (wide[:, 0] - middle) * 1.3  # the person's face is broad
    mixed = mixed_shape(target, wide, 1.0)
    assert abs(mouth_gap(mixed) - mouth_gap(target)) < 0.02
    assert np.ptp(mixed[:, 0]) > 1.05 * np.ptp(target[:, 0])
    np.testing.assert_array_equal(mixed_shape(target, wide, 0.0), target)
    np.testing.assert_allclose(mixed_shape(target, target, 1.0), target, atol=0.6)


def test_atlas_masks_lie_where_they_should() -> None:
    masks = atlas()
    assert masks.face.shape == masks.skin.shape == (256, 256)
    assert float((masks.skin * masks.drawn).sum()) < 0.1 * float(masks.drawn.sum())
    np.testing.assert_allclose(masks.features, masks.features[:, ::-1], atol=0.35)
    assert masks.face[0].max() == 0 and masks.face[-1].max() == 0
    assert masks.forehead[5, 128] == 1 and masks.forehead[128, 128] == 0


def test_light_sees_through_hair_over_the_skin() -> None:
    skin = np.ones((100, 100), np.float32)
    face = np.full((100, 100, 3), [0.8, 0.6, 0.5], np.float32)
    face[:, 40:46] = 0.08  # a strand
    found = skin_light(face, skin, 80)
    assert found.covered[:, 42:44].min() > 0.9 and found.covered[:, 70:].max() < 0.1
    np.testing.assert_allclose(found.light[50, 43], [0.82, 0.62, 0.52], atol=0.08)


def test_relit_takes_over_shading_and_colour() -> None:
    skin = np.ones((100, 100), np.float32)
    ramp = np.linspace(0.3, 0.9, 100, dtype=np.float32)[None, :, None]
    target = np.broadcast_to(ramp * np.array([0.9, 0.8, 1.0], np.float32), (100, 100, 3))
    source = np.full((100, 100, 3), [0.7, 0.5, 0.4], np.float32)
    new = relit(lit(source, 80), lit(target, 80), zones(skin), 80)
    np.testing.assert_allclose(new[:, 15:85], target[:, 15:85], atol=0.04)


def test_a_flash_photos_shine_makes_no_pale_patch() -> None:
    """A bright spot of a photo's cheek is light, not the person; near the features it is held down less."""
    skin = np.ones((120, 120), np.float32)
    rows, columns = np.mgrid[:120, :120]
    spot = np.exp(-((rows - 60) ** 2 + (columns - 60) ** 2) / (2 * 7.0**2))[..., None].astype(np.float32)
    source = np.full((120, 120, 3), [0.6, 0.45, 0.4], np.float32) * (1 + 0.6 * spot)
    target = np.full((120, 120, 3), [0.9, 0.85, 0.8], np.float32)
    photo, picture = lit(source, 100), lit(target, 100)
    broad, near = (relit(photo, picture, zones(skin, broad=part), 100)[60, 60].mean() for part in (1, 0))
    assert 0.84 < broad < 0.93 and broad < near < 1.0
    assert relit(lit(source * 3, 100), picture, zones(skin, broad=1), 100).max() <= 1.0  # no burnt-out edge


def test_shading_that_the_picture_shows_too_is_kept() -> None:
    """A hollow that lies dark in both is the face's; one that is dark in the photo alone is its shadow."""
    skin = np.ones((120, 120), np.float32)
    rows, columns = np.mgrid[:120, :120]
    hollow = np.exp(-((rows - 60) ** 2 + (columns - 60) ** 2) / (2 * 5.0**2))[..., None].astype(np.float32)
    colour = np.array([0.8, 0.65, 0.6], np.float32)
    dark, even = colour * np.exp(-1.2 * hollow), np.broadcast_to(colour, (120, 120, 3))
    depths = []
    for target in (dark, even):
        new = relit(lit(dark, 100), lit(target, 100), zones(skin), 100)
        depths.append(float(np.log(new[60, 60].mean() / new[20, 60].mean())))
    assert depths[0] < 1.25 * depths[1] < -0.2


def test_folds_of_a_smile_are_held_down() -> None:
    """A dark line of the photo stays, but less where it is a smile's on a face that does not smile."""
    skin = np.ones((120, 120), np.float32)
    band = np.exp(-((np.arange(120) - 60) ** 2) / (2 * 4.0**2))[None, :, None].astype(np.float32)
    colour = np.array([0.8, 0.65, 0.6], np.float32)
    photo = lit(np.broadcast_to(colour * np.exp(-0.5 * band), (120, 120, 3)), 100)
    picture = lit(np.broadcast_to(colour, (120, 120, 3)), 100)

    def depth(**where: float) -> float:
        new = relit(photo, picture, zones(skin, **where), 100)
        return float(np.log(new[60, 20].mean() / new[60, 60].mean()))

    assert depth() > 0.15 and depth(folds=1) < 0.6 * depth()


def test_a_smile_lifts_the_corners_of_the_mouth() -> None:
    calm = placed()
    smile = calm.copy()
    smile[[61, 291], 1] -= 4
    assert mouth_lift(smile) > mouth_lift(calm) + 0.08
    assert mouth_lift(smile * 3) == pytest.approx(mouth_lift(smile))


def test_the_outline_of_a_turned_nose_leaves_no_line_down_the_new_one() -> None:
    """Alone on the bridge: the same line beside the nose is the face's own."""
    goal = placed()
    _, maps = draw_maps(goal, goal, (goal, goal), (180, 160), 100)
    places = maps.canonical[..., 0], maps.canonical[..., 1]
    face = np.full((*places[0].shape, 3), 0.7, np.float32)
    at_bridge, at_cheek = ((np.abs(places[0] - x) < 0.012) & (places[1] > -0.3) & (places[1] < -0.05) for x in (0, 0.2))
    face[at_bridge | at_cheek] = 0.3
    new = _without_nose_line(face, maps, 1.0, 100)
    assert at_bridge.sum() > 30 and new[at_bridge].min() > 0.65
    np.testing.assert_array_equal(new[at_cheek], face[at_cheek])


def test_shadows_take_the_pictures_colour() -> None:
    """In a picture with warm, hard tones darker skin is redder, and so are the new face's lines."""
    skin = np.ones((120, 120), np.float32)
    rows, columns = np.mgrid[:120, :120]
    waves = (np.sin(rows / 3) * np.sin(columns / 3) * 0.2)[..., None].astype(np.float32)
    warm = np.array([0.8, 0.6, 0.4], np.float32) * np.exp(waves * np.array([0.6, 1.0, 1.4], np.float32))
    plain = np.array([0.6, 0.5, 0.45], np.float32) * np.exp(waves)
    photo, picture = lit(plain, 100), lit(warm, 100)
    assert abs(shade_tint(photo)).max() < 0.05
    np.testing.assert_allclose(shade_tint(picture), [-0.4, 0.0, 0.4], atol=0.12)
    new = relit(photo, picture, zones(skin), 100)
    dark, bright = (new[waves[..., 0] * sign > 0.1].mean(0) for sign in (-1, 1))
    assert dark[0] / dark[2] > 1.1 * bright[0] / bright[2]


def test_a_warm_photos_shadows_are_never_blue() -> None:
    """Its own tint goes once: stubble of a reddish photo is as dark and as warm as the picture's skin would be."""
    skin = np.ones((120, 120), np.float32)
    rows, columns = np.mgrid[:120, :120]
    stubble = (np.sin(rows / 3) * np.sin(columns / 3) * 0.25)[..., None].astype(np.float32)
    red = np.array([0.8, 0.5, 0.4], np.float32) * np.exp(stubble * np.array([0.4, 1.0, 1.6], np.float32))
    mild = np.array([0.8, 0.65, 0.6], np.float32) * np.exp(stubble * np.array([0.9, 1.0, 1.1], np.float32))
    new = relit(lit(red, 100), lit(mild, 100), zones(skin), 100)
    dark, bright = (new[stubble[..., 0] * sign > 0.15].mean(0) for sign in (-1, 1))
    assert dark[0] / dark[2] > bright[0] / bright[2]


def test_a_face_is_level_with_the_picture_along_its_edge() -> None:
    """Where it fades out it has the picture's brightness, in its middle its own; hair at the edge is no measure."""
    picture = np.full((200, 200, 3), 0.4, np.float32)
    face = np.full((200, 200, 3), 0.55, np.float32)
    distance = np.hypot(*(np.mgrid[:200, :200] - 100.0))
    alpha = (1 - smooth_step(distance, 70, 90)).astype(np.float32)
    skin = np.ones((200, 200), np.float32)
    level = levelled(picture, face, alpha, skin, 200)[..., 0]
    edge = (alpha > 0.2) & (alpha < 0.6)
    assert abs(level[edge] - 0.4).max() < 0.05 and level[100, 100] > 0.545
    np.testing.assert_array_equal(levelled(picture, face, alpha, 0 * skin, 200), face)


def test_a_blended_edge_keeps_the_contrast_of_both_skins() -> None:
    rng = np.random.default_rng(1)
    old, new = (0.5 + rng.normal(0, 0.05, (160, 160, 1)).astype(np.float32) for _ in range(2))
    new += 0.2  # and another light
    alpha = np.broadcast_to(np.linspace(0, 1, 160, dtype=np.float32), (160, 160))
    mixed = blended(old, new, alpha, 160)
    assert np.array_equal(mixed[:, :1], old[:, :1])
    middle = mixed[:, 40:120, 0] - mixed[:, 40:120, 0].mean(0)
    plain = ((1 - alpha[..., None]) * old + alpha[..., None] * new)[:, 40:120, 0]
    assert middle.std() > 1.1 * (plain - plain.mean(0)).std()
    assert middle[:, 72:].std() > 0.97 * new.std()  # and all of the new skin's before its light is all there
    assert 0.55 < mixed[:, 70:90].mean() < 0.65  # light fades in evenly


def test_only_what_reaches_the_outline_covers_a_face() -> None:
    covered, face = np.zeros((200, 200), np.float32), np.zeros((200, 200), np.float32)
    face[40:160, 40:160] = 1
    covered[20:100, 60:70] = 1  # a strand of hair
    covered[120:130, 95:110] = 1  # the shadow under a lip
    kept = from_outside(covered, face, np.zeros_like(face))
    assert kept[60:90, 63:67].min() > 0.9 and kept[110:140].max() == 0


def test_grain_is_restored_and_crispness_kept_in_bounds() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.03, (120, 120, 1)).astype(np.float32)
    smooth, everywhere = np.full((120, 120, 3), 0.5, np.float32), np.ones((120, 120), np.float32)
    grained = with_grain_of(smooth + noise, smooth, everywhere, everywhere)
    assert float(grained.std()) == pytest.approx(float((smooth + noise - blurred(smooth + noise, 0.8)).std()), rel=0.3)
    calm = with_grain_of(smooth, smooth + noise, everywhere, everywhere)
    assert float(calm.std()) < 0.5 * float(noise.std())


def test_sampling() -> None:
    picture = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    rows, columns = np.mgrid[0:3, 0:4].astype(np.float32)
    np.testing.assert_allclose(sample(picture, np.stack([columns, rows], -1)), picture, atol=1e-4)
    assert resized(picture, (6, 8)).shape == (6, 8, 1)
    assert blurred(picture[..., 0], 2.0).shape == (3, 4)
    big = np.zeros((200, 200), np.float32)
    big[100, 100] = 1
    assert float(blurred(big, 12).sum()) == pytest.approx(1, abs=0.02)


def test_masks() -> None:
    square = np.array([[10, 10], [30, 10], [30, 30], [10, 30]], float)
    mask = ring_mask(square, (40, 40), 0.0)
    assert mask[20, 20] == 1 and mask[5, 5] == 0 and abs(float(mask.sum()) - 400) < 45
    closed = placed()
    closed[[13, 14], 1] = closed[13, 1]
    assert open_mouth(closed, (180, 160), 100) is None
    opened = placed()
    opened[14, 1] += 10
    assert open_mouth(opened, (180, 160), 100) is not None
    assert list(smooth_step(np.array([0.0, 0.5, 1.0]), 0.2, 0.8)) == [0, pytest.approx(0.5), 1]
