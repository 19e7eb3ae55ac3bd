//! How a zip is written (PKWARE's APPNOTE.TXT 6.3.10): before each entry its header, behind each file's bytes its checksum, and at
//! the end a record of each entry, and where these records are.
//!
//! Numbers have fields of 64 bits where 32 or 16 do not hold them, and only there: old programs read no others. A number that is
//! the mark of such a field counts as one that does not fit.

use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// What the parts of a zip begin with.
const SIGNATURE_HEADER: u32 = 0x0403_4b50;
const SIGNATURE_DESCRIPTOR: u32 = 0x0807_4b50;
const SIGNATURE_RECORD: u32 = 0x0201_4b50;
const SIGNATURE_END: u32 = 0x0605_4b50;
const SIGNATURE_END_64: u32 = 0x0606_4b50;
/// Of the part that says where the end with 64 bits is.
const SIGNATURE_LOCATOR: u32 = 0x0706_4b50;

/// The mark of a number that stands elsewhere, with 64 bits.
const ELSEWHERE: u32 = u32::MAX;
const ELSEWHERE_16: u16 = u16::MAX;

/// Names are UTF-8.
const FLAG_UTF8: u16 = 1 << 11;
/// Checksum and sizes stand behind the bytes.
const FLAG_DESCRIPTOR: u16 = 1 << 3;

/// Versions of the format that a reader needs: for folders and for what stands behind a file's bytes, and for fields of 64 bits.
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;
/// What it was made with: this version, on a system that has modes of files.
const MADE_BY: u16 = 3 << 8 | VERSION_64;

const MODE_FILE: u32 = 0o100_644;
const MODE_FOLDER: u32 = 0o040_755;

/// What is stored as it is.
const METHOD_STORED: u16 = 0;

const EXTRA_64: u16 = 0x0001;
const EXTRA_TIME: u16 = 0x5455;
/// Of its times, it has the one of the last change.
const EXTRA_TIME_MODIFIED: u8 = 1;

/// Bytes in the longest name that an entry can have.
pub(super) const NAME_LEN_MAX: usize = u16::MAX as usize;

/// An entry as a zip tells of it.
#[derive(Debug)]
pub(super) struct Item {
    /// From the root of the zip, with a closing `/` if it is a folder; of at most [`NAME_LEN_MAX`] bytes.
    pub(super) name: String,
    pub(super) time: Time,
    /// Bytes in it.
    pub(super) size: u64,
    /// Where its header begins, in bytes from the zip's begin.
    pub(super) at: u64,
}

impl Item {
    /// What stands before its bytes. The checksum is not known yet.
    pub(super) fn begin(&self, out: &mut BytesMut) {
        // The sizes stand behind the bytes, and this says whether with 64 bits.
        let (size, elsewhere): (u32, &[u64]) = match fits(self.size) {
            Some(_) => (0, &[]),
            None => (ELSEWHERE, &[0, 0]),
        };
        let extra = self.extra(elsewhere);
        out.put_u32_le(SIGNATURE_HEADER);
        out.put_u16_le(version(elsewhere));
        out.put_u16_le(self.flags());
        out.put_u16_le(METHOD_STORED);
        self.time.put(out);
        out.put_u32_le(0);
        out.put_u32_le(size);
        out.put_u32_le(size);
        out.put_u16_le(len(self.name.as_bytes()));
        out.put_u16_le(len(&extra));
        out.put_slice(self.name.as_bytes());
        out.put_slice(&extra);
    }

    /// What stands behind a file's bytes.
    pub(super) fn end(&self, checksum: u32, out: &mut BytesMut) {
        out.put_u32_le(SIGNATURE_DESCRIPTOR);
        out.put_u32_le(checksum);
        if let Some(size) = fits(self.size) {
            out.put_u32_le(size);
            out.put_u32_le(size);
        } else {
            out.put_u64_le(self.size);
            out.put_u64_le(self.size);
        }
    }

    /// Its record at the end of the zip. The checksum of a folder is 0.
    pub(super) fn record(&self, checksum: u32, out: &mut BytesMut) {
        let (size, at) = (fits(self.size), fits(self.at));
        let mut elsewhere = Vec::new();
        if size.is_none() {
            elsewhere.extend([self.size, self.size]);
        }
        if at.is_none() {
            elsewhere.push(self.at);
        }
        let extra = self.extra(&elsewhere);
        out.put_u32_le(SIGNATURE_RECORD);
        out.put_u16_le(MADE_BY);
        out.put_u16_le(version(&elsewhere));
        out.put_u16_le(self.flags());
        out.put_u16_le(METHOD_STORED);
        self.time.put(out);
        out.put_u32_le(checksum);
        out.put_u32_le(size.unwrap_or(ELSEWHERE));
        out.put_u32_le(size.unwrap_or(ELSEWHERE));
        out.put_u16_le(len(self.name.as_bytes()));
        out.put_u16_le(len(&extra));
        // No comment, on the first disk, and nothing is known of what kind the bytes are.
        out.put_bytes(0, 3 * 2);
        out.put_u32_le(self.mode() << 16);
        out.put_u32_le(at.unwrap_or(ELSEWHERE));
        out.put_slice(self.name.as_bytes());
        out.put_slice(&extra);
    }

    fn is_folder(&self) -> bool {
        self.name.ends_with('/')
    }

    fn flags(&self) -> u16 {
        if self.is_folder() {
            FLAG_UTF8
        } else {
            FLAG_UTF8 | FLAG_DESCRIPTOR
        }
    }

    fn mode(&self) -> u32 {
        if self.is_folder() {
            MODE_FOLDER
        } else {
            MODE_FILE
        }
    }

    /// The numbers that have no place in their fields, and the exact time.
    fn extra(&self, elsewhere: &[u64]) -> Vec<u8> {
        let mut extra = Vec::with_capacity(4 + 3 * 8 + 4 + 5);
        if !elsewhere.is_empty() {
            extra.put_u16_le(EXTRA_64);
            extra.put_u16_le(8 * u16::try_from(elsewhere.len()).expect("they are three at most"));
            for number in elsewhere {
                extra.put_u64_le(*number);
            }
        }
        if let Some(seconds) = self.time.seconds {
            extra.put_u16_le(EXTRA_TIME);
            extra.put_u16_le(1 + 4);
            extra.put_u8(EXTRA_TIME_MODIFIED);
            extra.put_u32_le(seconds);
        }
        extra
    }
}

/// When an entry was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    /// By the clock without a zone, for which UTC is taken: its hours, minutes and pairs of seconds.
    clock: u16,
    /// Its years since 1980, months and days.
    date: u16,
    /// Since 1970; nothing if the time is none that a zip can say.
    seconds: Option<u32>,
}

impl Time {
    /// 1980-01-01 00:00, for a time that a zip cannot say.
    const FIRST: Self = Self {
        clock: 0,
        date: 1 << 5 | 1,
        seconds: None,
    };

    /// Of this many milliseconds since 1970.
    pub(super) fn of(modified_ms: u64) -> Self {
        let said = || {
            let seconds = u32::try_from(modified_ms / 1000).ok()?;
            let time = Timestamp::from_second(seconds.into()).ok()?;
            let time = time.to_zoned(TimeZone::UTC).datetime();
            let (clock, date) = clock_and_date(time)?;
            Some(Self {
                clock,
                date,
                seconds: Some(seconds),
            })
        };
        said().unwrap_or(Self::FIRST)
    }

    fn put(self, out: &mut BytesMut) {
        out.put_u16_le(self.clock);
        out.put_u16_le(self.date);
    }
}

/// Nothing if it is before 1980; what is behind 2107 has no seconds of 32 bits.
fn clock_and_date(time: DateTime) -> Option<(u16, u16)> {
    let part = |part: i8| u16::try_from(part).ok();
    let years = u16::try_from(time.year()).ok()?.checked_sub(1980)?;
    let pairs = part(time.second())? / 2;
    let clock = part(time.hour())? << 11 | part(time.minute())? << 5 | pairs;
    let date = years << 9 | part(time.month())? << 5 | part(time.day())?;
    Some((clock, date))
}

/// The last bytes of a zip with this many entries, whose records have this many bytes and begin here.
pub(super) fn end(entries: u64, records_len: u64, records_at: u64) -> Bytes {
    let mut out = BytesMut::new();
    let few = u16::try_from(entries)
        .ok()
        .filter(|few| *few != ELSEWHERE_16);
    let (short_len, short_at) = (fits(records_len), fits(records_at));
    if few.is_none() || short_len.is_none() || short_at.is_none() {
        out.put_u32_le(SIGNATURE_END_64);
        // What follows in this part.
        out.put_u64_le(44);
        out.put_u16_le(MADE_BY);
        out.put_u16_le(VERSION_64);
        // This disk is the first one, where the records begin.
        out.put_bytes(0, 2 * 4);
        out.put_u64_le(entries);
        out.put_u64_le(entries);
        out.put_u64_le(records_len);
        out.put_u64_le(records_at);
        // Where that is, on the first of one disk.
        out.put_u32_le(SIGNATURE_LOCATOR);
        out.put_u32_le(0);
        out.put_u64_le(records_at + records_len);
        out.put_u32_le(1);
    }
    out.put_u32_le(SIGNATURE_END);
    out.put_bytes(0, 2 * 2);
    out.put_u16_le(few.unwrap_or(ELSEWHERE_16));
    out.put_u16_le(few.unwrap_or(ELSEWHERE_16));
    out.put_u32_le(short_len.unwrap_or(ELSEWHERE));
    out.put_u32_le(short_at.unwrap_or(ELSEWHERE));
    // No comment.
    out.put_u16_le(0);
    out.freeze()
}

/// The version that a reader needs, where these numbers have no place in their fields.
fn version(elsewhere: &[u64]) -> u16 {
    if elsewhere.is_empty() {
        VERSION
    } else {
        VERSION_64
    }
}

/// The number, where 32 bits hold it.
fn fits(number: u64) -> Option<u32> {
    let number = u32::try_from(number).ok()?;
    (number != ELSEWHERE).then_some(number)
}

fn len(part: &[u8]) -> u16 {
    u16::try_from(part.len()).expect("names are looked at before, and all else is short")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = u32::MAX as u64;

    fn item(name: &str, size: u64, at: u64) -> Item {
        let time = Time::of(784_111_777_000);
        let name = name.to_owned();
        Item {
            name,
            time,
            size,
            at,
        }
    }

    fn written(write: impl FnOnce(&mut BytesMut)) -> BytesMut {
        let mut out = BytesMut::new();
        write(&mut out);
        out
    }

    fn number(bytes: &[u8], place: std::ops::Range<usize>) -> u64 {
        let digits = bytes[place].iter().rev();
        digits.fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The field of 32 bits, and what stands in the one of 64 bits, in its order.
    #[test]
    fn numbers_have_the_fields_that_hold_them() {
        for (size, at, expected) in [
            (0, 0, vec![]),
            (MAX - 1, MAX - 1, vec![]),
            (MAX, 1, vec![MAX, MAX]),
            (1, MAX, vec![MAX]),
            (1 << 40, 1 << 50, vec![1 << 40, 1 << 40, 1 << 50]),
        ] {
            let item = item("a", size, at);
            let record = written(|out| item.record(7, out));
            assert_eq!(number(&record, 16..20), 7);
            for (place, value) in [(20..24, size), (24..28, size), (42..46, at)] {
                assert_eq!(number(&record, place), value.min(MAX));
            }
            let extra = &record[47..record.len() - 9];
            let found: Vec<u64> = (4..extra.len())
                .step_by(8)
                .map(|at| number(extra, at..at + 8))
                .collect();
            assert_eq!(found, expected, "{size} {at}");
            assert_eq!(number(&record, 30..32), extra.len() as u64 + 9);
            let needs_64 = !expected.is_empty();
            assert_eq!(number(&record, 6..8), if needs_64 { 45 } else { 20 });
            // A reader tells by the header how long the part behind the bytes is.
            let header = written(|out| item.begin(out));
            let behind = written(|out| item.end(7, out));
            let is_large = size >= MAX;
            assert_eq!(behind.len(), if is_large { 24 } else { 16 });
            assert_eq!(header.len(), 31 + 9 + if is_large { 20 } else { 0 });
            assert_eq!(number(&header, 18..22), if is_large { MAX } else { 0 });
            assert_eq!(number(&header, 4..6), if is_large { 45 } else { 20 });
        }
    }

    /// What stands around a file, byte by byte: readers that take the list at the end would not notice if it were wrong.
    #[test]
    fn a_file_stands_between_these_bytes() {
        const TIME: &[u8] = b"\x32\x46\x66\x1d";
        const EXTRA_TIME: &[u8] = b"UT\x05\x00\x01\xa1\x98\xbc\x2e";
        let checksum = 0x8765_4321;
        let small = item("a.txt", 0x1234, 7);
        let begin = [
            b"PK\x03\x04\x14\x00\x08\x08\x00\x00",
            TIME,
            &[0; 3 * 4],
            b"\x05\x00\x09\x00a.txt",
            EXTRA_TIME,
        ];
        assert_eq!(written(|out| small.begin(out)), begin.concat());
        let end = b"PK\x07\x08\x21\x43\x65\x87\x34\x12\x00\x00\x34\x12\x00\x00";
        assert_eq!(written(|out| small.end(checksum, out)), end[..]);
        let large = item("a.txt", 0x12_3456_789a, 7);
        let begin = [
            b"PK\x03\x04\x2d\x00\x08\x08\x00\x00",
            TIME,
            &[0; 4],
            &[0xff; 2 * 4],
            b"\x05\x00\x1d\x00a.txt\x01\x00\x10\x00",
            &[0; 2 * 8],
            EXTRA_TIME,
        ];
        assert_eq!(written(|out| large.begin(out)), begin.concat());
        let size = b"\x9a\x78\x56\x34\x12\x00\x00\x00";
        let end = [b"PK\x07\x08\x21\x43\x65\x87", &size[..], size];
        assert_eq!(written(|out| large.end(checksum, out)), end.concat());
    }

    #[test]
    fn a_folder_has_nothing_behind_it() {
        let (file, folder) = (item("a", 0, 0), item("a/", 0, 0));
        for (item, flags, mode) in [(file, 0x0808, 0o100_644), (folder, 0x0800, 0o40_755)] {
            let record = written(|out| item.record(0, out));
            assert_eq!(number(&record, 8..10), flags);
            assert_eq!(number(&record, 40..42), mode);
            let header = written(|out| item.begin(out));
            assert_eq!(number(&header, 6..8), flags);
        }
    }

    #[test]
    fn the_end_counts_as_far_as_there_are_numbers() {
        for (entries, len, at, is_long) in [
            (0, 0, 0, false),
            (65_534, MAX - 1, MAX - 1, false),
            (65_535, 1, 1, true),
            (1, MAX, 1, true),
            (1, 1, MAX, true),
            (100_000_000, 10 << 32, 1 << 60, true),
        ] {
            let end = end(entries, len, at);
            assert_eq!(end.len(), if is_long { 98 } else { 22 });
            let short = &end[end.len() - 22..];
            assert_eq!(number(short, 10..12), entries.min(65_535));
            assert_eq!(number(short, 12..16), len.min(MAX));
            assert_eq!(number(short, 16..20), at.min(MAX));
            if is_long {
                let places = [24..32, 32..40, 40..48, 48..56, 64..72];
                let found = places.map(|place| number(&end, place));
                assert_eq!(found, [entries, entries, len, at, at + len]);
            }
        }
    }

    #[test]
    fn times_are_said_as_far_as_a_zip_can() {
        let time = |year: u16, month: u16, day: u16, clock: [u16; 3], seconds: Option<u32>| Time {
            clock: clock[0] << 11 | clock[1] << 5 | (clock[2] / 2),
            date: (year - 1980) << 9 | month << 5 | day,
            seconds,
        };
        let last = u32::MAX;
        for (modified_ms, expected) in [
            (
                784_111_777_999,
                time(1994, 11, 6, [8, 49, 37], Some(784_111_777)),
            ),
            (
                315_532_800_000,
                time(1980, 1, 1, [0, 0, 0], Some(315_532_800)),
            ),
            (315_532_799_999, Time::FIRST),
            (0, Time::FIRST),
            (
                u64::from(last) * 1000,
                time(2106, 2, 7, [6, 28, 15], Some(last)),
            ),
            (u64::from(last) * 1000 + 1000, Time::FIRST),
            (u64::MAX, Time::FIRST),
        ] {
            assert_eq!(Time::of(modified_ms), expected, "{modified_ms}");
        }
    }
}
