//! JSON that was right, and then changed: fields removed, doubled, of another type, too large, too deep, and text that is none.
//!
//! A message is a tree whose leaves are the very bytes of their tokens, so that what no JSON writer would write can stand there.

use bolero::TypeGenerator;
use serde_json::Value;

/// A change of a message. Places are taken modulo what there is.
#[derive(Debug, Clone, TypeGenerator)]
pub struct Change {
    /// Which value, counted from the outside in.
    pub place: u16,
    /// What becomes of it.
    pub kind: Kind,
}

/// What becomes of a value.
#[derive(Debug, Clone, TypeGenerator)]
pub enum Kind {
    /// It is gone, with its name.
    Remove,
    /// It is there twice, under the same name.
    Double,
    /// It is another value.
    Token(u8),
    /// It is any number.
    Number(i64),
    /// It is a text of so many letters that are long when they are shown.
    LongText(u16),
    /// It is in so many arrays.
    InArrays(u16),
    /// It is in so many objects.
    InObjects(u16),
    /// It stands in a row of itself.
    Repeat(u16),
    /// It has a field beside it that nobody knows.
    Unknown(u8),
    /// Its name is written otherwise.
    Rename(u8),
}

/// Values that parsers have taken for others, or broken on.
pub const TOKENS: &[&[u8]] = &[
    b"null",
    b"true",
    b"false",
    b"0",
    b"-0",
    b"-1",
    b"1",
    b"255",
    b"256",
    b"65535",
    b"65536",
    b"4294967295",
    b"4294967296",
    b"9007199254740993",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551615",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"1.0",
    b"1.5",
    b"1e0",
    b"1e2",
    b"1e999",
    b"-1e999",
    b"1e-999",
    b"01",
    b"+1",
    b".5",
    b"5.",
    b"NaN",
    b"Infinity",
    b"0x10",
    b"\"\"",
    b"\"1\"",
    b"\"any\"",
    b"\"null\"",
    br#""\ud800""#,
    br#""\udc00\ud800""#,
    br#""\ud83d\ude00""#,
    br#""\u0000""#,
    br#""a\u0000b""#,
    br#""\u202e""#,
    br#""\/""#,
    br#""\x""#,
    b"\"\0\"",
    b"\"\xff\"",
    b"\"\xed\xa0\x80\"",
    b"\"\xc0\xaf\"",
    b"\"\n\"",
    b"\"unfinished",
    b"{}",
    b"[]",
    b"[[]]",
    b"[null]",
    b"{\"a\":1}",
    b"{\"\":{}}",
    b"\"../../etc/passwd\"",
    b"\"/a/../b\"",
    b"\"127.0.0.1:99999\"",
    b"\"00000000-0000-0000-0000-000000000000\"",
    b"\"{00000000-0000-0000-0000-000000000000}\"",
    b"\"urn:uuid:00000000-0000-0000-0000-000000000000\"",
    b"\"ffffffffffffffffffffffffffffffff\"",
    b"\"+ffffffffffffffffffffffffffffff\"",
    b" 1 ",
    b"",
    b",",
    b"}",
    b"]",
    b"\t",
];
const NAMES: &[&[u8]] = &[
    br#""id""#,
    br#""op""#,
    br#""body_len""#,
    br#""""#,
    br#""ID""#,
    br#""\u0069d""#,
    br#""\ud800""#,
    b"id",
    b"\"a\0\"",
    b"7",
];

/// Every change of a message that is made at one place: gone, doubled, renamed, each token, in a row, too long and too deep.
pub fn single_changes(message: &Tree) -> Vec<Change> {
    let tokens = 0..=u8::try_from(TOKENS.len() - 1).expect("they are few");
    let names = 0..=u8::try_from(NAMES.len() - 1).expect("they are few");
    let mut kinds = vec![
        Kind::Remove,
        Kind::Double,
        Kind::LongText(3000),
        Kind::InArrays(299),
        Kind::InObjects(299),
        Kind::Repeat(599),
        Kind::Unknown(0),
    ];
    kinds.extend(tokens.map(Kind::Token));
    kinds.extend(names.map(Kind::Rename));
    let places = 0..u16::try_from(message.count()).expect("messages are small");
    let at = |place| {
        let change = move |kind: &Kind| Change {
            place,
            kind: kind.clone(),
        };
        kinds.iter().map(change)
    };
    places.flat_map(at).collect()
}

/// A value of a message.
#[derive(Debug, Clone)]
pub enum Tree {
    /// A token as it stands there.
    Leaf(Vec<u8>),
    /// Values in a row.
    Array(Vec<Tree>),
    /// Values with the tokens of their names.
    Object(Vec<(Vec<u8>, Tree)>),
}

impl Tree {
    /// The tree of a message that is right.
    ///
    /// # Panics
    /// If it is not.
    pub fn parse(text: &str) -> Self {
        Self::of(&serde_json::from_str(text).expect("the message to be changed is right"))
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Array(values) => Self::Array(values.iter().map(Self::of).collect()),
            Value::Object(fields) => {
                let field = |(name, value): (&String, &Value)| {
                    (
                        Value::from(name.as_str()).to_string().into_bytes(),
                        Self::of(value),
                    )
                };
                Self::Object(fields.iter().map(field).collect())
            }
            leaf => Self::Leaf(leaf.to_string().into_bytes()),
        }
    }

    /// Its bytes, without white space.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes);
        bytes
    }

    fn write_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Leaf(token) => bytes.extend_from_slice(token),
            Self::Array(values) => {
                bytes.push(b'[');
                for (place, value) in values.iter().enumerate() {
                    bytes.extend_from_slice(if place > 0 { b"," } else { b"" });
                    value.write_to(bytes);
                }
                bytes.push(b']');
            }
            Self::Object(fields) => {
                bytes.push(b'{');
                for (place, (name, value)) in fields.iter().enumerate() {
                    bytes.extend_from_slice(if place > 0 { b"," } else { b"" });
                    bytes.extend_from_slice(name);
                    bytes.push(b':');
                    value.write_to(bytes);
                }
                bytes.push(b'}');
            }
        }
    }

    /// How many values there are, itself included.
    fn count(&self) -> usize {
        match self {
            Self::Leaf(_) => 1,
            Self::Array(values) => 1 + values.iter().map(Self::count).sum::<usize>(),
            Self::Object(fields) => {
                1 + fields.iter().map(|(_, value)| value.count()).sum::<usize>()
            }
        }
    }

    /// Changes it.
    pub fn change(&mut self, change: &Change) {
        let place = usize::from(change.place) % self.count();
        match &change.kind {
            Kind::Remove | Kind::Double | Kind::Unknown(_) | Kind::Rename(_) => {
                self.change_within(&mut (place + 1), &change.kind);
            }
            kind => {
                if let Some(value) = self.at(&mut (place + 1)) {
                    value.change_alone(kind);
                }
            }
        }
    }

    /// The value at this place, which is counted down to 0.
    fn at(&mut self, left: &mut usize) -> Option<&mut Self> {
        *left -= 1;
        if *left == 0 {
            return Some(self);
        }
        match self {
            Self::Leaf(_) => None,
            Self::Array(values) => values.iter_mut().find_map(|value| value.at(left)),
            Self::Object(fields) => fields.iter_mut().find_map(|(_, value)| value.at(left)),
        }
    }

    /// Changes the value at this place in what holds it; whether it was met.
    fn change_within(&mut self, left: &mut usize, kind: &Kind) -> bool {
        *left -= 1;
        match self {
            _ if *left == 0 => true,
            Self::Leaf(_) => false,
            Self::Array(values) => {
                for place in 0..values.len() {
                    if values[place].change_within(left, kind) {
                        match kind {
                            Kind::Remove if *left == 0 => drop(values.remove(place)),
                            Kind::Double if *left == 0 => {
                                values.insert(place, values[place].clone());
                            }
                            _ => {}
                        }
                        *left = usize::MAX;
                        return true;
                    }
                }
                false
            }
            Self::Object(fields) => {
                for place in 0..fields.len() {
                    if fields[place].1.change_within(left, kind) {
                        if *left == 0 {
                            change_field(fields, place, kind);
                        }
                        *left = usize::MAX;
                        return true;
                    }
                }
                false
            }
        }
    }

    fn change_alone(&mut self, kind: &Kind) {
        let old = std::mem::replace(self, Self::Leaf(b"null".to_vec()));
        *self = match kind {
            Kind::Token(number) => Self::Leaf(TOKENS[usize::from(*number) % TOKENS.len()].to_vec()),
            Kind::Number(number) => Self::Leaf(number.to_string().into_bytes()),
            Kind::LongText(len) => Self::Leaf(
                format!("\"{}\"", "\u{202e}".repeat(usize::from(len % 3001))).into_bytes(),
            ),
            Kind::InArrays(depth) => {
                (0..depth % 300).fold(old, |value, _| Self::Array(vec![value]))
            }
            Kind::InObjects(depth) => (0..depth % 300).fold(old, |value, _| {
                Self::Object(vec![(b"\"a\"".to_vec(), value)])
            }),
            Kind::Repeat(times) => Self::Array(vec![old; usize::from(times % 600)]),
            Kind::Remove | Kind::Double | Kind::Unknown(_) | Kind::Rename(_) => old,
        };
    }
}

fn change_field(fields: &mut Vec<(Vec<u8>, Tree)>, place: usize, kind: &Kind) {
    match kind {
        Kind::Remove => drop(fields.remove(place)),
        Kind::Double => fields.insert(place, fields[place].clone()),
        Kind::Rename(name) => fields[place].0 = NAMES[usize::from(*name) % NAMES.len()].to_vec(),
        Kind::Unknown(token) => {
            let token = TOKENS[usize::from(*token) % TOKENS.len()].to_vec();
            fields.insert(
                place,
                (b"\"nobody_knows_this\"".to_vec(), Tree::Leaf(token)),
            );
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(place: u16, kind: Kind, expected: &str) {
        let mut tree = Tree::parse(r#"{"a":[1,2],"b":{"c":"x"}}"#);
        tree.change(&Change { place, kind });
        assert_eq!(String::from_utf8_lossy(&tree.to_bytes()), expected);
    }

    /// Places: 0 is the whole, 1 `a`, 2 and 3 its values, 4 `b`, 5 `c`.
    #[test]
    fn changes_are_made_where_they_should() {
        check(1, Kind::Remove, r#"{"b":{"c":"x"}}"#);
        check(3, Kind::Remove, r#"{"a":[1],"b":{"c":"x"}}"#);
        check(5, Kind::Remove, r#"{"a":[1,2],"b":{}}"#);
        check(
            4,
            Kind::Double,
            r#"{"a":[1,2],"b":{"c":"x"},"b":{"c":"x"}}"#,
        );
        check(2, Kind::Double, r#"{"a":[1,1,2],"b":{"c":"x"}}"#);
        check(5, Kind::Token(0), r#"{"a":[1,2],"b":{"c":null}}"#);
        check(0, Kind::Token(1), "true");
        check(3, Kind::InArrays(2), r#"{"a":[1,[[2]]],"b":{"c":"x"}}"#);
        check(2, Kind::Repeat(2), r#"{"a":[[1,1],2],"b":{"c":"x"}}"#);
        check(5, Kind::Rename(0), r#"{"a":[1,2],"b":{"id":"x"}}"#);
        check(11, Kind::Remove, r#"{"a":[1,2],"b":{}}"#);
    }
}
