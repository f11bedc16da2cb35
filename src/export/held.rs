//! Texts held in memory by key, as compactly as is simple: one string for all, and a sorted index into it.

/// What one entry costs besides the text of its key and value.
pub const ENTRY_BYTES: usize = std::mem::size_of::<Entry>();

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    key: u32,
    value: u32,
    group: u32,
}

/// Texts by key. Several values of one key keep their group and the order in which they came.
#[derive(Debug, Default)]
pub struct Held {
    text: String,
    entries: Vec<Entry>,
    sealed: bool,
}

impl Held {
    /// Adds one value. A text of 4 GiB or more is refused by returning false; no engine has such a key or name.
    pub fn push(&mut self, key: &str, group: u32, value: &str) -> bool {
        let (Ok(key_length), Ok(value_length)) = (u32::try_from(key.len()), u32::try_from(value.len())) else {
            return false;
        };
        let start = self.text.len();
        self.text.push_str(key);
        self.text.push_str(value);
        self.entries.push(Entry { start, key: key_length, value: value_length, group });
        self.sealed = false;
        true
    }

    /// Sorts the index. Must come between the last [`push`](Self::push) and the first [`get`](Self::get).
    pub fn seal(&mut self) {
        let text = &self.text;
        // Where key and value are empty, the next entry starts at the same place: the lengths keep the order.
        let place = |entry: &Entry| (entry.group, entry.start, u64::from(entry.key) + u64::from(entry.value));
        self.entries.sort_unstable_by(|a, b| a.key_of(text).cmp(b.key_of(text)).then_with(|| place(a).cmp(&place(b))));
        self.text.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.sealed = true;
    }

    /// The values of a key with their groups, by group and then in the order in which they came.
    pub fn get<'a>(&'a self, key: &'a str) -> impl Iterator<Item = (u32, &'a str)> {
        debug_assert!(self.sealed, "seal() comes before get()");
        let from = self.entries.partition_point(|entry| entry.key_of(&self.text) < key);
        self.entries[from..]
            .iter()
            .take_while(move |entry| entry.key_of(&self.text) == key)
            .map(|entry| (entry.group, entry.value_of(&self.text)))
    }

    /// The first value of a key.
    pub fn first(&self, key: &str) -> Option<&str> {
        let from = self.entries.partition_point(|entry| entry.key_of(&self.text) < key);
        let entry = self.entries.get(from)?;
        (entry.key_of(&self.text) == key).then(|| entry.value_of(&self.text))
    }
}

impl Entry {
    fn key_of(self, text: &str) -> &str {
        &text[self.start..self.start + self.key as usize]
    }

    fn value_of(self, text: &str) -> &str {
        let start = self.start + self.key as usize;
        &text[start..start + self.value as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_entry_costs_what_the_documentation_says() {
        assert_eq!(ENTRY_BYTES, 24);
    }

    proptest! {
        #[test]
        fn it_answers_like_a_map_of_lists(pairs in prop::collection::vec(("[a-c]{0,2}", 0_u32..3, "\\PC{0,4}"), 0..40)) {
            let mut held = Held::default();
            let mut model: BTreeMap<String, Vec<(u32, String)>> = BTreeMap::new();
            for (key, group, value) in &pairs {
                prop_assert!(held.push(key, *group, value));
                model.entry(key.clone()).or_default().push((*group, value.clone()));
            }
            held.seal();
            for (key, mut values) in model {
                values.sort_by_key(|(group, _)| *group);
                let found: Vec<(u32, String)> = held.get(&key).map(|(g, v)| (g, v.to_owned())).collect();
                prop_assert_eq!(held.first(&key), values.first().map(|(_, v)| v.as_str()));
                prop_assert_eq!(found, values);
            }
            prop_assert_eq!(held.first("nobody"), None);
        }
    }
}
