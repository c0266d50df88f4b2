//! The tray menu. It is changed in place if its structure stays the same, so that an open menu stays open.

use tauri::menu::{CheckMenuItem, IsMenuItem, MenuItem, PredefinedMenuItem, Submenu};
use tauri::{AppHandle, Runtime};

use crate::tray::Entry;

/// The menu and its lines.
pub(super) struct Menu<R: Runtime> {
    whole: tauri::menu::Menu<R>,
    lines: Vec<Line<R>>,
}

enum Line<R: Runtime> {
    Item(MenuItem<R>),
    Check(CheckMenuItem<R>),
    Submenu(Submenu<R>, Vec<Line<R>>),
    Separator(PredefinedMenuItem<R>),
}

impl<R: Runtime> Menu<R> {
    pub(super) fn build(app: &AppHandle<R>, entries: &[Entry]) -> tauri::Result<Self> {
        let lines = build(app, entries)?;
        let whole = tauri::menu::Menu::with_items(app, &items(&lines))?;
        Ok(Self { whole, lines })
    }

    pub(super) fn whole(&self) -> &tauri::menu::Menu<R> {
        &self.whole
    }

    /// Changes the menu from `old` to `new`. Returns false if the structure differs.
    pub(super) fn update(&self, old: &[Entry], new: &[Entry]) -> tauri::Result<bool> {
        if !is_same_form(old, new) {
            return Ok(false);
        }
        update(&self.lines, old, new)?;
        Ok(true)
    }
}

fn build<R: Runtime>(app: &AppHandle<R>, entries: &[Entry]) -> tauri::Result<Vec<Line<R>>> {
    entries.iter().map(|entry| Line::build(app, entry)).collect()
}

fn items<R: Runtime>(lines: &[Line<R>]) -> Vec<&dyn IsMenuItem<R>> {
    lines.iter().map(Line::item).collect()
}

impl<R: Runtime> Line<R> {
    fn build(app: &AppHandle<R>, entry: &Entry) -> tauri::Result<Self> {
        Ok(match entry {
            Entry::Text(text) => Self::Item(MenuItem::new(app, escaped(text), false, None::<&str>)?),
            Entry::Item { action, label, enabled } => {
                Self::Item(MenuItem::with_id(app, action.id(), escaped(label), *enabled, None::<&str>)?)
            }
            Entry::Check { action, label, checked } => Self::Check(CheckMenuItem::with_id(
                app,
                action.id(),
                escaped(label),
                true,
                *checked,
                None::<&str>,
            )?),
            Entry::Submenu { label, entries } => {
                let lines = build(app, entries)?;
                Self::Submenu(Submenu::with_items(app, escaped(label), true, &items(&lines))?, lines)
            }
            Entry::Separator => Self::Separator(PredefinedMenuItem::separator(app)?),
        })
    }

    fn item(&self) -> &dyn IsMenuItem<R> {
        match self {
            Self::Item(item) => item,
            Self::Check(item) => item,
            Self::Submenu(menu, _) => menu,
            Self::Separator(line) => line,
        }
    }
}

/// Whether both menus have the same lines in the same places, with any labels.
fn is_same_form(old: &[Entry], new: &[Entry]) -> bool {
    old.len() == new.len()
        && old.iter().zip(new).all(|pair| match pair {
            (Entry::Text(_), Entry::Text(_)) | (Entry::Separator, Entry::Separator) => true,
            (Entry::Item { action: one, .. }, Entry::Item { action: other, .. })
            | (Entry::Check { action: one, .. }, Entry::Check { action: other, .. }) => one == other,
            (Entry::Submenu { label: one, entries: old }, Entry::Submenu { label: other, entries: new }) => {
                one == other && is_same_form(old, new)
            }
            (
                Entry::Text(_)
                | Entry::Item { .. }
                | Entry::Check { .. }
                | Entry::Submenu { .. }
                | Entry::Separator,
                _,
            ) => false,
        })
}

fn update<R: Runtime>(lines: &[Line<R>], old: &[Entry], new: &[Entry]) -> tauri::Result<()> {
    for (line, (old, new)) in lines.iter().zip(old.iter().zip(new)) {
        match (line, new) {
            (Line::Submenu(_, lines), Entry::Submenu { entries: new, .. }) => {
                if let Entry::Submenu { entries: old, .. } = old {
                    update(lines, old, new)?;
                }
            }
            (Line::Item(item), Entry::Text(text)) if old != new => item.set_text(escaped(text))?,
            (Line::Item(item), Entry::Item { label, enabled, .. }) if old != new => {
                item.set_text(escaped(label))?;
                item.set_enabled(*enabled)?;
            }
            // A click changes the check mark by itself, so it is always set again.
            (Line::Check(item), Entry::Check { label, checked, .. }) => {
                item.set_text(escaped(label))?;
                item.set_checked(*checked)?;
            }
            (Line::Item(_) | Line::Check(_) | Line::Submenu(..) | Line::Separator(_), _) => {}
        }
    }
    Ok(())
}

/// Doubles `&`, because a single one would mark the access key.
fn escaped(text: &str) -> String {
    text.replace('&', "&&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tray::Action;

    #[test]
    fn only_lines_in_the_same_places_are_the_same_form() {
        let item = |label: &str| Entry::Item { action: Action::Open, label: label.into(), enabled: true };
        let text = |text: &str| Entry::Text(text.into());
        let below = |entries: &[Entry]| Entry::Submenu { label: "More".into(), entries: entries.to_vec() };
        let quit = Entry::Item { action: Action::Quit, label: "Open".into(), enabled: true };
        assert!(is_same_form(&[text("a"), item("b")], &[text("c"), item("d")]));
        assert!(is_same_form(&[below(&[item("a")])], &[below(&[item("b")])]));
        assert!(!is_same_form(&[text("a")], &[text("a"), text("b")]));
        assert!(!is_same_form(&[item("Open")], &[quit]));
        assert!(!is_same_form(&[text("a")], &[Entry::Separator]));
        assert!(!is_same_form(&[below(&[item("a")])], &[below(&[])]));
    }
}
