//! A serializer around another: it lets through what JSON can say and databases can keep, and knows
//! where in the value it stands when it meets something else. (Longer than 400 lines: serde's trait
//! has that many methods.)
//!
//! One pass, in the serializer that writes: a second look at the value could see another value than
//! the one that was written. The path costs nothing while all is well: each level adds its own name
//! to the problem while the error travels up.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Display, Write as _};
use std::io;

use serde::ser::{self, Serialize, Serializer};

/// How serde_json passes on a `RawValue`: its text is written as it is.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Values below this many bytes are never named as the cause of too large arguments.
const NOTEWORTHY: usize = 256;

/// What is known of one value while it is written.
pub(super) struct Context {
    limit: usize,
    written: Cell<usize>,
    unit_struct: Cell<bool>,
    nul: Cell<bool>,
    problem: Cell<Option<&'static str>>,
    path: RefCell<Vec<Segment>>,
    largest: RefCell<(usize, Option<Segment>)>,
}

enum Segment {
    Name(&'static str),
    Key(String),
    Index(usize),
}

impl Context {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            written: Cell::new(0),
            unit_struct: Cell::new(false),
            nul: Cell::new(false),
            problem: Cell::new(None),
            path: RefCell::new(Vec::new()),
            largest: RefCell::new((NOTEWORTHY, None)),
        }
    }

    pub(super) fn writer<'c>(&'c self, bytes: &'c mut Vec<u8>) -> Bounded<'c> {
        Bounded {
            bytes,
            context: self,
        }
    }

    pub(super) fn is_unit_struct(&self) -> bool {
        self.unit_struct.get()
    }

    /// The limit and what was written, in bytes.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.limit, self.written.get())
    }

    /// If the limit was passed: the name of the largest part, or nothing if there are no parts.
    pub(super) fn too_large(&self) -> Option<String> {
        (self.written.get() > self.limit).then(|| path_of(self.largest.borrow().1.iter()))
    }

    /// Where and what the problem was that made `error`.
    pub(super) fn problem(&self, error: &serde_json::Error) -> (String, String) {
        let path = path_of(self.path.borrow().iter().rev());
        let problem = match self.problem.get() {
            Some(problem) => problem.to_owned(),
            None => format!("cannot be written as JSON: {error}"),
        };
        (path, problem)
    }

    fn refuse<T, E: ser::Error>(&self, problem: &'static str) -> Result<T, E> {
        self.problem.set(Some(problem));
        Err(E::custom(problem))
    }

    fn check_text<E: ser::Error>(&self, text: &str) -> Result<(), E> {
        if text.as_bytes().contains(&0) {
            return self.refuse(NUL);
        }
        Ok(())
    }

    fn check_float<E: ser::Error>(&self, number: f64) -> Result<(), E> {
        if number.is_finite() {
            Ok(())
        } else if number.is_nan() {
            self.refuse("is NaN: JSON has no such number; use an `Option` and send `None`")
        } else {
            self.refuse("is infinite: JSON has no such number; use an `Option` and send `None`")
        }
    }

    #[cold]
    fn passed(&self, segment: Segment) {
        self.path.borrow_mut().push(segment);
    }

    /// Remembers the largest part of the whole.
    fn measure(&self, before: usize, segment: impl FnOnce() -> Segment) {
        let size = self.written.get() - before;
        if size > NOTEWORTHY && size > self.largest.borrow().0 {
            *self.largest.borrow_mut() = (size, Some(segment()));
        }
    }
}

const NUL: &str = "contains a NUL character (U+0000), which databases do not store as text: remove it, or send bytes";

fn path_of<'s>(segments: impl Iterator<Item = &'s Segment>) -> String {
    let mut path = String::new();
    for segment in segments {
        let name = match segment {
            Segment::Index(index) => {
                let _ = write!(path, "[{index}]");
                continue;
            }
            Segment::Name(name) => name,
            Segment::Key(key) => key.as_str(),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            let shown: String = name.chars().take(80).collect();
            let _ = write!(path, "[{shown:?}]");
        } else {
            let dot = if path.is_empty() { "" } else { "." };
            let _ = write!(path, "{dot}{name}");
        }
    }
    path
}

/// Keeps what is written up to the limit, and only counts what comes after it: so the message can
/// say how large the value is, and memory stays bounded.
pub(super) struct Bounded<'c> {
    bytes: &'c mut Vec<u8>,
    context: &'c Context,
}

impl io::Write for Bounded<'_> {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_all(buf)?;
        Ok(buf.len())
    }

    #[inline]
    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        let written = self.context.written.get() + buf.len();
        self.context.written.set(written);
        if written <= self.context.limit {
            self.bytes.extend_from_slice(buf);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A serializer under watch.
pub(super) struct Checked<'c, S> {
    inner: S,
    context: &'c Context,
    /// Whether it writes the whole, not a part.
    whole: bool,
    /// Whether the next string is JSON text itself.
    raw: bool,
}

impl<'c, S> Checked<'c, S> {
    pub(super) fn whole(inner: S, context: &'c Context) -> Self {
        Self {
            inner,
            context,
            whole: true,
            raw: false,
        }
    }
}

impl<'c, S: Serializer> Checked<'c, S> {
    fn part<'v, T: ?Sized>(&self, value: &'v T) -> Part<'v, 'c, T> {
        Part {
            value,
            context: self.context,
            raw: false,
        }
    }

    fn compound<C>(
        self,
        open: impl FnOnce(S) -> Result<C, S::Error>,
    ) -> Result<Compound<'c, C>, S::Error> {
        Ok(Compound {
            inner: open(self.inner)?,
            context: self.context,
            whole: self.whole,
            raw: false,
            index: 0,
            key: String::new(),
        })
    }
}

/// A part of the value, which is written under watch too.
struct Part<'v, 'c, T: ?Sized> {
    value: &'v T,
    context: &'c Context,
    raw: bool,
}

impl<T: Serialize + ?Sized> Serialize for Part<'_, '_, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Checked {
            inner: serializer,
            context: self.context,
            whole: false,
            raw: self.raw,
        })
    }
}

/// Text that is formatted as it is written, and looked at on the way.
struct Formatted<'v, 'c, T: ?Sized> {
    value: &'v T,
    context: &'c Context,
}

impl<T: Display + ?Sized> Display for Formatted<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Watch<'f, 'g, 'c>(&'f mut fmt::Formatter<'g>, &'c Context);
        impl fmt::Write for Watch<'_, '_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                if text.as_bytes().contains(&0) {
                    self.1.nul.set(true);
                }
                self.0.write_str(text)
            }
        }
        write!(Watch(f, self.context), "{}", self.value)
    }
}

/// Whether JSON text holds an escaped NUL character. A backslash before the escape's own one would
/// make it plain text.
fn has_escaped_nul(json: &str) -> bool {
    json.match_indices(r"\u0000").any(|(at, _)| {
        let before = json[..at].bytes().rev();
        before.take_while(|&byte| byte == b'\\').count() % 2 == 0
    })
}

macro_rules! as_they_are {
    ($($method:ident: $type:ty),+) => {
        $(
            #[inline]
            fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
                self.inner.$method(value)
            }
        )+
    };
}

impl<'c, S: Serializer> Serializer for Checked<'c, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Compound<'c, S::SerializeSeq>;
    type SerializeTuple = Compound<'c, S::SerializeTuple>;
    type SerializeTupleStruct = Compound<'c, S::SerializeTupleStruct>;
    type SerializeTupleVariant = InVariant<Compound<'c, S::SerializeTupleVariant>>;
    type SerializeMap = Compound<'c, S::SerializeMap>;
    type SerializeStruct = Compound<'c, S::SerializeStruct>;
    type SerializeStructVariant = InVariant<Compound<'c, S::SerializeStructVariant>>;

    as_they_are! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_bytes: &[u8]
    }

    fn serialize_f32(self, number: f32) -> Result<S::Ok, S::Error> {
        self.context.check_float(number.into())?;
        self.inner.serialize_f32(number)
    }

    fn serialize_f64(self, number: f64) -> Result<S::Ok, S::Error> {
        self.context.check_float(number)?;
        self.inner.serialize_f64(number)
    }

    fn serialize_char(self, character: char) -> Result<S::Ok, S::Error> {
        self.context
            .check_text(character.encode_utf8(&mut [0; 4]))?;
        self.inner.serialize_char(character)
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<S::Ok, S::Error> {
        self.context.check_text(text)?;
        if self.raw && has_escaped_nul(text) {
            return self.context.refuse(NUL);
        }
        self.inner.serialize_str(text)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let context = self.context;
        let ok = self.inner.collect_str(&Formatted { value, context })?;
        if context.nul.get() {
            return context.refuse(NUL);
        }
        Ok(ok)
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let value = self.part(value);
        self.inner.serialize_some(&value)
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit()
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        if self.whole {
            self.context.unit_struct.set(true);
        }
        self.inner.serialize_unit_struct(name)
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = self.part(value);
        self.inner.serialize_newtype_struct(name, &value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let (context, value) = (self.context, self.part(value));
        self.inner
            .serialize_newtype_variant(name, index, variant, &value)
            .inspect_err(|_| context.passed(Segment::Name(variant)))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.compound(|inner| inner.serialize_seq(len))
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.compound(|inner| inner.serialize_tuple(len))
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.compound(|inner| inner.serialize_tuple_struct(name, len))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        let compound =
            self.compound(|inner| inner.serialize_tuple_variant(name, index, variant, len))?;
        Ok(InVariant(variant, compound))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.compound(|inner| inner.serialize_map(len))
    }

    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        let mut compound = self.compound(|inner| inner.serialize_struct(name, len))?;
        compound.raw = name == RAW_VALUE;
        Ok(compound)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        let compound =
            self.compound(|inner| inner.serialize_struct_variant(name, index, variant, len))?;
        Ok(InVariant(variant, compound))
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// A sequence, map or struct that is being written.
pub(super) struct Compound<'c, C> {
    inner: C,
    context: &'c Context,
    whole: bool,
    raw: bool,
    /// Of the next element of a sequence.
    index: usize,
    /// Of the next value of a map that is written in two steps.
    key: String,
}

impl<'c, C> Compound<'c, C> {
    /// Writes one part and, if that fails, adds its name to the path.
    #[inline]
    fn write<T: ?Sized, E>(
        &mut self,
        value: &T,
        name: impl Fn() -> Segment,
        write: impl FnOnce(&mut C, &Part<'_, 'c, T>) -> Result<(), E>,
    ) -> Result<(), E> {
        let part = Part {
            value,
            context: self.context,
            raw: self.raw,
        };
        let before = self.context.written.get();
        match write(&mut self.inner, &part) {
            Ok(()) if self.whole => self.context.measure(before, name),
            Ok(()) => {}
            // A `RawValue` is one value, whatever it is made of here.
            Err(error) if self.raw => return Err(error),
            Err(error) => {
                self.context.passed(name());
                return Err(error);
            }
        }
        Ok(())
    }

    #[inline]
    fn element<T: ?Sized, E>(
        &mut self,
        value: &T,
        write: impl FnOnce(&mut C, &Part<'_, 'c, T>) -> Result<(), E>,
    ) -> Result<(), E> {
        let index = self.index;
        self.index += 1;
        self.write(value, || Segment::Index(index), write)
    }
}

impl<C: ser::SerializeSeq> ser::SerializeSeq for Compound<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.element(value, |inner, value| inner.serialize_element(value))
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

impl<C: ser::SerializeTuple> ser::SerializeTuple for Compound<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.element(value, |inner, value| inner.serialize_element(value))
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

impl<C: ser::SerializeTupleStruct> ser::SerializeTupleStruct for Compound<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.element(value, |inner, value| inner.serialize_field(value))
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

impl<C: ser::SerializeMap> ser::SerializeMap for Compound<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.key = key_text(key);
        let key = Part {
            value: key,
            context: self.context,
            raw: false,
        };
        let written = self.inner.serialize_key(&key);
        written.inspect_err(|_| self.context.passed(Segment::Key(self.key.clone())))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let key = std::mem::take(&mut self.key);
        let name = || Segment::Key(key.clone());
        self.write(value, name, |inner, value| inner.serialize_value(value))
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), C::Error> {
        let checked = Part {
            value: key,
            context: self.context,
            raw: false,
        };
        let name = || Segment::Key(key_text(key));
        self.write(value, name, |inner, value| {
            inner.serialize_entry(&checked, value)
        })
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

impl<C: ser::SerializeStruct> ser::SerializeStruct for Compound<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), C::Error> {
        let name = || Segment::Name(key);
        self.write(value, name, |inner, value| {
            inner.serialize_field(key, value)
        })
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
        self.inner.skip_field(key)
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

/// What is written inside a variant of an enum, whose name JSON has around it.
pub(super) struct InVariant<C>(&'static str, C);

impl<C: ser::SerializeTupleVariant> ser::SerializeTupleVariant for InVariant<Compound<'_, C>> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let Self(variant, compound) = self;
        let written = compound.element(value, |inner, value| inner.serialize_field(value));
        written.inspect_err(|_| compound.context.passed(Segment::Name(variant)))
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.1.inner.end()
    }
}

impl<C: ser::SerializeStructVariant> ser::SerializeStructVariant for InVariant<Compound<'_, C>> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), C::Error> {
        let Self(variant, compound) = self;
        let name = || Segment::Name(key);
        let written = compound.write(value, name, |inner, value| {
            inner.serialize_field(key, value)
        });
        written.inspect_err(|_| compound.context.passed(Segment::Name(variant)))
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
        self.1.inner.skip_field(key)
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.1.inner.end()
    }
}

/// A key as JSON will have it, for messages.
fn key_text<K: Serialize + ?Sized>(key: &K) -> String {
    let text = serde_json::to_string(key).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(text)
}
