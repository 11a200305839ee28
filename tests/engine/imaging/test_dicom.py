"""DICOM: windowing, inversion and compression are correct, unusable files get a reason, no patient data leaks."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, FileDataset, dcmread, uid
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_windowing

from engine.errors import UnreadableImageError
from engine.imaging import dicom, images

RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8) * 64  # 0 to 4032, of 12 bits


def made(pixels: np.ndarray = RAMP, *, stored: int = 12, **elements: Any) -> bytes:
    """A small uncompressed radiograph as DICOM bytes."""
    dataset = FileDataset("", {}, preamble=b"\0" * 128)
    dataset.file_meta = Dataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.update(Dataset())
    dataset.SOPClassUID, dataset.SOPInstanceUID = uid.ComputedRadiographyImageStorage, uid.generate_uid()
    dataset.Modality, dataset.PatientName, dataset.PatientID = "CR", "DOE^JANE", "MRN-0042"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * pixels.dtype.itemsize, stored, stored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in elements.items():
        setattr(dataset, name, value)
    if "PixelData" not in elements:
        dataset.PixelData = pixels.tobytes()
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def real_file(name: str) -> bytes:
    return Path(str(get_testdata_file(name))).read_bytes()


def reason(data: bytes) -> tuple[str, str]:
    with pytest.raises(UnreadableImageError) as caught:
        images.decode(data)
    return caught.value.reason, str(caught.value)


def test_eight_bits_without_a_window_stay_as_they_are() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    got = images.decode(made(pixels, stored=8))
    assert got.source_format == "DICOM"
    assert np.array_equal(got.pixels, pixels)


def test_monochrome1_is_the_inverse_of_monochrome2() -> None:
    bright = images.decode(made()).pixels
    assert np.array_equal(images.decode(made(PhotometricInterpretation="MONOCHROME1")).pixels, 255 - bright)


def test_deep_pixels_without_a_window_go_between_their_outer_percentiles() -> None:
    spoiled = np.tile(RAMP, (10, 10))
    spoiled[0, 0] = 65535  # one hot pixel must not make everything else black
    got = images.decode(made(spoiled, stored=16)).pixels
    assert got.max() == 255 and np.median(got) == pytest.approx(127, abs=5)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, -300.0)])
def test_windows_agree_with_pydicom(function: str, slope: float, intercept: float) -> None:
    data = made(
        WindowCenter=[900, 5], WindowWidth=[1100, 5], VOILUTFunction=function,
        RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US",
    )  # fmt: skip
    dataset = dcmread(io.BytesIO(data))
    theirs = apply_windowing(RAMP * slope + intercept, dataset)  # between the least and the greatest value that fit
    low, high = intercept, 4095 * slope + intercept
    expected = (theirs - low) / (high - low) * 255
    assert np.abs(images.decode(data).pixels - expected).max() <= 0.51


def test_a_window_that_shows_nothing_or_has_no_width_gives_way_to_percentiles() -> None:
    fallback = images.decode(made()).pixels
    for center, width in ((60000, 10), (500, 0), ("", "")):
        assert np.array_equal(images.decode(made(WindowCenter=center, WindowWidth=width)).pixels, fallback)


def test_a_voi_lut_wins_over_a_window() -> None:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4096, 0, 8])
    table.add_new("LUTData", "US", [(4095 - value) // 16 for value in range(4096)])
    got = images.decode(made(VOILUTSequence=[table], WindowCenter=2000, WindowWidth=4000)).pixels
    assert got[0, 0] == 255 and got[-1, -1] == (4095 - 4032) // 16


@pytest.mark.parametrize("kind", ["OW", "US"])
def test_a_voi_lut_of_eight_bit_entries_is_read_as_such(kind: str) -> None:
    """PS3.3 C.11.2.1.1: entries of eight bits may be stored two to a word."""
    grey = np.arange(256, dtype=np.uint8)
    table, falling = Dataset(), grey[::-1].copy()
    table.add_new("LUTDescriptor", "US", [256, 0, 8])
    table.add_new("LUTData", kind, falling.tobytes() if kind == "OW" else falling.view("<u2").tolist())
    got = images.decode(made(grey.reshape(16, 16), stored=8, VOILUTSequence=[table])).pixels
    assert np.array_equal(got.ravel(), falling)


def test_eight_bits_that_the_rescale_turns_round_are_turned_round_without_a_window_too() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    turned = {"RescaleSlope": -1, "RescaleIntercept": 255}
    plain = images.decode(made(ramp, stored=8, **turned)).pixels
    windowed = images.decode(made(ramp, stored=8, **turned, WindowCenter=128, WindowWidth=256)).pixels
    assert np.abs(plain.astype(int) - windowed).max() <= 1 and plain[0, 0] == 255


def test_bits_that_lie_elsewhere_in_their_word_are_refused() -> None:
    kind, detail = reason(made(RAMP << 4, HighBit=15))
    assert kind == "unsupported" and "HighBit is not BitsStored - 1" in detail


def test_signed_values_below_zero_are_windowed_like_others() -> None:
    signed = (RAMP.astype(np.int16) - 2000).astype(np.int16)
    got = images.decode(made(signed, stored=16, WindowCenter=-1000, WindowWidth=1000)).pixels
    assert np.array_equal(got, images.decode(made(RAMP, stored=16, WindowCenter=1000, WindowWidth=1000)).pixels)


def test_padding_does_not_stretch_the_window() -> None:
    padded = RAMP.copy()
    padded[:4] = 0
    padded[4:] = np.arange(1000, 1032).reshape(4, 8)
    got = images.decode(made(padded, PixelPaddingValue=0)).pixels
    assert (got[:4] == 0).all() and np.ptp(got[4:].astype(int)) == 255


@pytest.mark.parametrize("name", ["RG1_J2KR.dcm", "RG3_J2KR.dcm"])
def test_lossless_jpeg_2000_radiographs_equal_their_uncompressed_twins(name: str) -> None:
    plain = images.decode(real_file(name.replace("J2KR", "UNCR"))).pixels
    assert np.array_equal(images.decode(real_file(name)).pixels, plain)
    lossy = images.decode(real_file(name.replace("J2KR", "J2KI"))).pixels
    assert lossy.shape == plain.shape and np.abs(lossy.astype(int) - plain).mean() < 2


def test_the_real_chest_film_shows_dark_lungs_between_bright_flanks() -> None:
    pixels = images.decode(real_file("RG1_UNCR.dcm")).pixels  # MONOCHROME1, 15 bits
    assert images.read_header(real_file("RG1_UNCR.dcm")) == images.Header("DICOM", 1841, 1955)
    assert pixels.shape == (1955, 1841)
    lung, spine = pixels[600:800, 400:600].mean(), pixels[600:800, 850:950].mean()
    assert spine > lung + 40


def test_colour_screenshots_become_their_luminance() -> None:
    red = np.zeros((4, 4, 3), dtype=np.uint8)
    red[..., 0] = 200
    options = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    assert (images.decode(made(red, stored=8, **options)).pixels == 60).all()  # .299 x 200


@pytest.mark.parametrize(
    ("name", "expected", "detail"),
    [
        ("JPEG-LL.dcm", "unsupported", "[Selection Value 1]); convert it to an uncompressed one"),
        ("JPEGLSNearLossless_16.dcm", "unsupported", "JPEG-LS Lossy"),
        ("JPGExtended.dcm", "unsupported", "12 bits"),
        ("image_dfl.dcm", "unsupported", "Deflated Explicit VR Little Endian; convert it"),
        ("emri_small.dcm", "unsupported", "10 frames"),
        ("examples_palette.dcm", "unsupported", "palette"),
        ("MR_truncated.dcm", "truncated", "less pixel data"),
        ("reportsi.dcm", "not-an-image", "DICOM SR without a picture"),
        ("badVR.dcm", "broken", "header cannot be read"),
    ],
)
def test_files_that_cannot_be_used_say_why(name: str, expected: str, detail: str) -> None:
    got, message = reason(real_file(name))
    assert got == expected
    assert detail in message


def test_size_is_refused_by_the_header() -> None:
    assert reason(made(Rows=60000, Columns=60000))[0] == "too-large"


def test_a_compressed_frame_that_is_larger_than_the_header_says_is_refused_undecoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = dcmread(io.BytesIO(real_file("RG1_J2KR.dcm")))
    dataset.Rows = dataset.Columns = 10
    stream = io.BytesIO()
    dataset.save_as(stream)
    monkeypatch.setattr(dicom, "pixel_array", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(UnreadableImageError) as caught:
        images.decode(stream.getvalue(), max_pixels=1_000_000)
    assert caught.value.reason == "too-large"


def test_a_file_without_preamble_and_meta_group_is_read() -> None:
    dataset = dcmread(io.BytesIO(made(np.arange(64, dtype=np.uint8).reshape(8, 8), stored=8)))
    stream = io.BytesIO()
    bare = Dataset()
    bare.update({element.tag: element for element in dataset})
    bare.save_as(stream, implicit_vr=True, little_endian=True)
    assert images.decode(stream.getvalue()).pixels[7, 7] == 63


def test_equal_patients_have_equal_tokens_under_one_key_and_none_can_be_guessed() -> None:
    key = b"k" * 32
    first, again = made(), made(RAMP.T.copy(), PatientName="ROE^RICHARD")
    other = made(PatientID="MRN-0043")
    assert dicom.patient_token(first, key=key) == dicom.patient_token(again, key=key)
    assert dicom.patient_token(first, key=key) != dicom.patient_token(other, key=key)
    assert dicom.patient_token(first, key=key) != dicom.patient_token(first, key=b"j" * 32)
    assert "0042" not in str(dicom.patient_token(first, key=key))
    assert dicom.patient_token(made(PatientID=""), key=key) is None


@pytest.mark.parametrize(
    "written",
    ["ANONYMOUS", "Anon.", "anonymized", "De-Identified", "UNKNOWN", "None", "N/A", "0", "00000", "XXXX", "-", " "],
)
def test_what_stands_for_no_patient_makes_no_films_one_patients(written: str) -> None:
    assert dicom.patient_token(made(PatientID=written), key=b"k" * 32) is None
    assert dicom.patient_token(made(PatientID=f"{written}7"), key=b"k" * 32) is not None


def test_no_message_quotes_the_patient() -> None:
    broken = made().replace(b"DS", b"IS")
    for cut in range(0, len(broken), 7):
        try:
            images.decode(broken[:cut])
        except UnreadableImageError as error:
            assert "DOE" not in str(error) and "MRN" not in str(error)


def test_damaged_compressed_pixels_are_broken_and_raise_nothing_else() -> None:
    dataset = dcmread(io.BytesIO(real_file("RG3_J2KR.dcm")))
    dataset.PixelData = encapsulate([b"\xff\x4f\xff\x51" + b"rubbish" * 100])
    stream = io.BytesIO()
    dataset.save_as(stream)
    assert reason(stream.getvalue())[0] == "broken"


def test_a_header_tells_sex_age_group_view_and_device_and_nothing_else() -> None:
    data = made(
        PatientSex="F",
        PatientAge="045Y",
        ViewPosition="PA",
        PatientBirthDate="19700101",
        Manufacturer="Acme",
        ManufacturerModelName="Acme X1",
        InstitutionName="St. Elsewhere",
    )
    known = (("age", "40 to 59"), ("device", "Acme X1"), ("sex", "female"), ("view", "PA"))
    assert dicom.attributes(data) == known


@pytest.mark.filterwarnings("ignore")
def test_what_a_header_has_wrong_is_unknown_and_the_rest_is_kept() -> None:
    assert dicom.attributes(made(PatientSex="X", PatientAge="old", ViewPosition="AP")) == (("view", "AP"),)
    assert dicom.attributes(b"no DICOM") == ()
