//! The properties in a batch: their names, types and values, and the labels of kinds.
//! Validates every value on its own; the types in the store belong to the plan.

use crate::types::batch::{Batch, BatchOp, limit, name_bytes};
use crate::types::error::Error;
use crate::types::names::NodeRef;
use crate::types::names::check_kind;
use crate::types::property::{MAX_PROPERTIES, PropertyType, PropertyValue, check_property};

/// A value of a property: its type, and a range of the batch's values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchValue {
    of: PropertyType,
    start: u32,
    len: u16,
}

impl Batch {
    /// Declares a property of a kind, with the type of its values. Has no effect where the kind has the property with this type.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name, [`Error::Limit`] when the batch is full. Another type than the property has fails the commit.
    pub fn declare_property(&mut self, kind: &str, name: &str, of: PropertyType) -> Result<(), Error> {
        check_kind(kind)?;
        let property = self.intern(name)?;
        self.check_room(kind.len())?;
        let kind = self.text(kind);
        self.ops.push(BatchOp::Property { kind, property, of });
        Ok(())
    }

    /// Replaces the value of a node's property. Creates the node where needed, and the property with the type of the value. An integer is
    /// also a number and a time, a text is also what [`PropertyType::parse`] reads in it, and a list of one item.
    ///
    /// # Visibility
    /// As any change of a commit. It makes no node dirty, because no embedding depends on it; a new node is dirty.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name, an empty text, an empty item of a list or one that contains U+001F, a number that is not finite.
    /// [`Error::Limit`] for more than 16,384 bytes, or when the batch is full. A value of another type than the property's fails the
    /// commit.
    pub fn set_property<'a>(
        &mut self,
        node: impl Into<NodeRef<'a>>,
        property: &str,
        value: &PropertyValue<'_>,
    ) -> Result<(), Error> {
        let node = node.into();
        node.validate()?;
        value.check()?;
        let property = self.intern(property)?;
        self.check_room(name_bytes(node) + value.bytes())?;
        let start = self.values.len();
        value.encode(&mut self.values);
        let len = (self.values.len() - start) as u16;
        let value = BatchValue { of: value.property_type(), start: start as u32, len };
        self.push_value(node, property, Some(value));
        Ok(())
    }

    /// Removes the value of a node's property. Creates the node where needed; has no effect where it has no value.
    ///
    /// # Visibility
    /// As for [`Self::set_property`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name, [`Error::Limit`] when the batch is full. A property that the kind does not have fails the commit.
    pub fn remove_property<'a>(&mut self, node: impl Into<NodeRef<'a>>, property: &str) -> Result<(), Error> {
        let node = node.into();
        node.validate()?;
        let property = self.intern(property)?;
        self.check_room(name_bytes(node))?;
        self.push_value(node, property, None);
        Ok(())
    }

    fn push_value(&mut self, node: NodeRef<'_>, property: u16, value: Option<BatchValue>) {
        // The properties of one node mostly come one after another.
        let node = match self.ops.last() {
            Some(&BatchOp::Value { node: last, .. }) if self.node(last) == node => last,
            _ => self.name(node),
        };
        self.ops.push(BatchOp::Value { node, property, value });
    }

    /// The index of a property's name, which is checked and added if it is new.
    fn intern(&mut self, name: &str) -> Result<u16, Error> {
        if let Some(at) = self.property_names.iter().position(|&known| self.read(known) == name) {
            return Ok(at as u16);
        }
        check_property(name)?;
        limit("properties", self.property_names.len() + 1, MAX_PROPERTIES)?;
        self.check_byte_room(name.len())?;
        let range = self.text(name);
        self.property_names.push(range);
        Ok(self.property_names.len() as u16 - 1)
    }

    /// Sets the property that stands for the nodes of a kind when they are shown, such as a title; `None` for their keys.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name, [`Error::Limit`] when the batch is full. A property that the kind does not have fails the commit.
    pub fn set_label(&mut self, kind: &str, property: Option<&str>) -> Result<(), Error> {
        check_kind(kind)?;
        let property = property.map(|property| self.intern(property)).transpose()?;
        self.check_room(kind.len())?;
        let kind = self.text(kind);
        self.ops.push(BatchOp::Label { kind, property });
        Ok(())
    }

    /// The name of a property, by its index.
    pub(crate) fn property_name(&self, at: u16) -> &str {
        self.read(self.property_names[usize::from(at)])
    }

    /// The type and the bytes of a value of the batch.
    pub(crate) fn value(&self, value: BatchValue) -> (PropertyType, &[u8]) {
        let BatchValue { of, start, len } = value;
        (of, &self.values[start as usize..start as usize + usize::from(len)])
    }
}
