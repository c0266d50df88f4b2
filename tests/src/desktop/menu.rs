//! A tray menu, read from `com.canonical.dbusmenu`.

use std::fmt;

use zbus::zvariant::{Structure, Value};

/// One line of a menu, with those below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MenuItem {
    /// The menu's own number for it.
    pub id: i32,
    /// The visible text, without the marks of access keys.
    pub label: String,
    /// Whether it can be chosen.
    pub enabled: bool,
    /// Whether it is visible.
    pub visible: bool,
    /// Whether it is a separator.
    pub separator: bool,
    /// Whether its mark is set, if it can have one.
    pub checked: Option<bool>,
    /// The submenu.
    pub children: Vec<Self>,
}

impl MenuItem {
    /// Reads the layout that `GetLayout` answers with: number, properties, children.
    pub fn read(layout: &Structure<'_>) -> Self {
        let [Value::I32(id), Value::Dict(properties), Value::Array(children)] = layout.fields() else {
            panic!("no layout of a menu: {layout:?}");
        };
        let mut item = Self { id: *id, enabled: true, visible: true, ..Self::default() };
        let mut marked = None;
        for (name, value) in properties.iter() {
            let (Value::Str(name), Value::Value(value)) = (name, value) else {
                panic!("no property of a menu: {name:?}");
            };
            match (name.as_str(), &**value) {
                ("label", Value::Str(label)) => item.label = without_marks(label),
                ("enabled", Value::Bool(enabled)) => item.enabled = *enabled,
                ("visible", Value::Bool(visible)) => item.visible = *visible,
                ("type", Value::Str(kind)) => item.separator = kind.as_str() == "separator",
                ("toggle-type", Value::Str(kind)) if !kind.is_empty() => marked = marked.or(Some(false)),
                ("toggle-state", Value::I32(state)) if *state >= 0 => marked = Some(*state == 1),
                _ => {}
            }
        }
        item.checked = marked;
        item.children = children.iter().map(|child| Self::read(line(child))).collect();
        item
    }

    /// The visible lines, without separators.
    pub fn labels(&self) -> Vec<&str> {
        self.shown().filter(|item| !item.separator).map(|item| item.label.as_str()).collect()
    }

    /// The visible line with this text, in any submenu.
    pub fn find(&self, label: &str) -> Option<&Self> {
        self.find_by(&|item| item.label == label)
    }

    /// The first visible line that starts with this text.
    pub fn starting(&self, beginning: &str) -> Option<&Self> {
        self.find_by(&|item| item.label.starts_with(beginning))
    }

    fn find_by(&self, condition: &dyn Fn(&Self) -> bool) -> Option<&Self> {
        self.shown().find_map(|item| if condition(item) { Some(item) } else { item.find_by(condition) })
    }

    fn shown(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter(|item| item.visible)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        for item in self.shown() {
            let mark = match item.checked {
                Some(true) => "[x] ",
                Some(false) => "[ ] ",
                None => "",
            };
            let text = if item.separator { "----" } else { &item.label };
            let off = if item.enabled { "" } else { " (off)" };
            writeln!(f, "{:depth$}{mark}{text}{off}", "")?;
            item.write(f, depth + 2)?;
        }
        Ok(())
    }
}

/// The menu as lines of text.
impl fmt::Display for MenuItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

/// A child of a layout, which is packed in a variant of its own.
fn line<'a>(child: &'a Value<'a>) -> &'a Structure<'a> {
    if let Value::Value(inner) = child {
        return line(inner);
    }
    let Value::Structure(layout) = child else { panic!("no line of a menu: {child:?}") };
    layout
}

/// An underscore marks the letter after it; two stand for one.
fn without_marks(label: &str) -> String {
    label.replace("__", "\0").replace('_', "").replace('\0', "_")
}
