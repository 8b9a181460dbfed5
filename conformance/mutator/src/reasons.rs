//! Why some mutants are not killed, as somebody has read and written down.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The verdict of a reason on its mutants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// They behave as the code does, in everything that can be seen from outside.
    Equivalent,
    /// Messages come at another pace, and nothing else changes.
    Pacing,
    /// Something may wait for ever, and nothing looks at that.
    Liveness,
    /// They behave in another way, and nothing looks at it yet.
    Open,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Verdict::Equivalent => "equivalent",
            Verdict::Pacing => "pacing",
            Verdict::Liveness => "liveness",
            Verdict::Open => "open",
        })
    }
}

/// One reason, for one mutant or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Its statement.
    pub verdict: Verdict,
    /// The argument.
    pub why: String,
    /// The names of the mutants.
    pub mutants: Vec<String>,
}

/// The reasons, by the name of the mutant.
#[derive(Clone, Debug, Default)]
pub struct Reasons(BTreeMap<String, (Verdict, String)>);

impl Reasons {
    /// Reads the list.
    ///
    /// # Errors
    ///
    /// It is no such list, a reason is empty, or a mutant is named twice.
    pub fn read(text: &str) -> Result<Reasons, String> {
        let list: Vec<Reason> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut reasons = BTreeMap::new();
        for reason in list {
            if reason.why.trim().is_empty() {
                return Err("a reason is empty".to_owned());
            }
            for mutant in reason.mutants {
                let value = (reason.verdict, reason.why.clone());
                if reasons.insert(mutant.clone(), value).is_some() {
                    return Err(format!("two reasons for {mutant}"));
                }
            }
        }
        Ok(Reasons(reasons))
    }

    /// The reason for a mutant.
    pub fn of(&self, key: &str) -> Option<(Verdict, &str)> {
        let (verdict, why) = self.0.get(key)?;
        Some((*verdict, why))
    }

    /// The mutants with a reason.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_has_one_reason_that_says_something() {
        let list = |why: &str, second: &str| {
            format!(
                r#"[{{"verdict": "equivalent", "why": "{why}", "mutants": ["a", "{second}"]}}]"#
            )
        };
        let reasons = Reasons::read(&list("so", "b")).unwrap();
        assert_eq!(reasons.of("b"), Some((Verdict::Equivalent, "so")));
        assert_eq!(reasons.of("c"), None);
        assert!(Reasons::read(&list(" ", "b")).is_err());
        assert!(Reasons::read(&list("so", "a")).is_err());
    }

    /// The list that is compiled in can be read; whether it is right, a run shows.
    #[test]
    fn the_list_of_this_project_can_be_read() {
        Reasons::read(include_str!("../reasons.json")).unwrap();
    }
}
