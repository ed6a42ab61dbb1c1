"""ISO 8601 text to microseconds since 1970, in TensorFlow: what a served model reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.data.transforms.calendar import DAY_MICROSECONDS, MINUTE_MICROSECONDS, days_from_date

if TYPE_CHECKING:
    import tensorflow as tf

# After the date: hour, minute, second, fraction; then Z, or the sign, hours and minutes of an offset from UTC. Arrow
# reads the same forms when rows are stored.
_CLOCK = r"(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(?:Z|([+-])(\d\d)(?::?(\d\d))?)?)?"
_ISO = rf"\d{{4}}-\d\d-\d\d{_CLOCK}"
_HOUR, _MINUTE, _SECOND, _FRACTION, _SIGN, _OFFSET_HOUR, _OFFSET_MINUTE = range(1, 8)


def parse_iso_time(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Microseconds since 1970-01-01 in UTC, and whether there are any.

    Args:
      values: string [rows], `YYYY-MM-DD` or `YYYY-MM-DD HH[:MM[:SS[.ffffff]]]`, with a T or a space between; the time
        of day may end in Z or in an offset like +02:00, and is taken for UTC otherwise. White space around it is
        ignored, digits beyond microseconds are cut off.

    Returns:
      int64 [rows], 0 where the text is none of these or no such time exists; bool [rows], False there.

    Example:
      >>> import tensorflow as tf
      >>> parse_iso_time(tf.constant(["1970-01-02T00:00:01.5Z", "1970-02-30"]))[0].numpy().tolist()
      [86401500000, 0]
    """
    import tensorflow as tf

    text = tf.strings.strip(values)
    well_formed = tf.strings.regex_full_match(text, _ISO)
    text = tf.where(well_formed, text, "0000-00-00")

    def group(number: int) -> tf.Tensor:
        return _whole(tf.strings.regex_replace(text, f"^{_ISO}$", f"\\{number}"))

    year, month, day = (_whole(tf.strings.substr(text, start, size)) for start, size in ((0, 4), (5, 2), (8, 2)))
    hour, minute, second = group(_HOUR), group(_MINUTE), group(_SECOND)
    date = days_from_date(year, month, day)
    exists = (year > 0) & (month > 0) & (month < 13) & (day > 0) & (date < days_from_date(year, month + 1, 1))
    exists &= (hour < 24) & (minute < 60) & (second < 60) & (group(_OFFSET_MINUTE) < 60)
    fraction = tf.strings.join([tf.strings.regex_replace(text, f"^{_ISO}$", f"\\{_FRACTION}"), "000000"])
    minutes = hour * 60 + minute - _offset_minutes(text, group(_OFFSET_HOUR) * 60 + group(_OFFSET_MINUTE))
    time = minutes * MINUTE_MICROSECONDS + second * 1_000_000 + _whole(tf.strings.substr(fraction, 0, 6))
    return tf.where(exists, date * DAY_MICROSECONDS + time, 0), exists


def _offset_minutes(text: tf.Tensor, minutes: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    west = tf.strings.regex_replace(text, f"^{_ISO}$", f"\\{_SIGN}") == "-"
    return tf.where(west, -minutes, minutes)


def _whole(digits: tf.Tensor) -> tf.Tensor:
    """Digits as int64; no digits are 0."""
    import tensorflow as tf

    return tf.strings.to_number(tf.strings.join(["0", digits]), tf.int64)
