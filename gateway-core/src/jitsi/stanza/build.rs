//! Elements to send, attribute by attribute.

use minidom::Element;
use minidom::rxml::{Namespace, NcName};

/// Begins an element of that name and namespace.
pub fn element(name: &str, namespace: &str) -> Building {
    Building(Element::bare(name, namespace))
}

/// An element in the making.
#[derive(Clone, Debug)]
pub struct Building(Element);

impl Building {
    /// Sets an attribute. The name is ours, a plain word; the value may be anything.
    pub fn attr(mut self, name: &'static str, value: impl ToString) -> Self {
        let name = NcName::try_from(name).expect("names of attributes are words of this program");
        self.0.set_attr(Namespace::NONE, name, value.to_string());
        self
    }

    /// Sets an attribute that may be missing.
    pub fn maybe(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// Adds a child.
    pub fn child(mut self, child: impl Into<Element>) -> Self {
        self.0.append_child(child.into());
        self
    }

    /// Adds children.
    pub fn children<T: Into<Element>>(mut self, children: impl IntoIterator<Item = T>) -> Self {
        for child in children {
            self.0.append_child(child.into());
        }
        self
    }

    /// Adds text.
    pub fn text(mut self, text: &str) -> Self {
        self.0.append_text(text);
        self
    }

    /// The element.
    pub fn build(self) -> Element {
        self.0
    }
}

impl From<Building> for Element {
    fn from(building: Building) -> Self {
        building.0
    }
}
