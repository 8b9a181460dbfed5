//! The traces below `corpus/`, as part of the program.

use crate::trace::{Trace, TraceError, TraceReader};

/// A trace of the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorpusTrace {
    /// The name of its file, without the ending.
    pub name: &'static str,
    /// The whole file.
    pub text: &'static str,
}

impl CorpusTrace {
    /// A reader of the trace; `source` stands for it in errors.
    ///
    /// # Errors
    /// It is not a trace.
    pub fn reader(self, source: &str) -> Result<TraceReader<&'static [u8]>, TraceError> {
        TraceReader::new(self.text.as_bytes(), source)
    }

    /// The trace.
    ///
    /// # Errors
    /// It is not a trace.
    pub fn read(self) -> Result<Trace, TraceError> {
        self.reader(self.name)?.into_trace()
    }
}

/// Every trace of the corpus, by name.
pub fn corpus() -> &'static [CorpusTrace] {
    &include!(concat!(env!("OUT_DIR"), "/corpus.rs"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_corpus_is_what_its_folder_holds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        let files = crate::trace_files(&folder).unwrap().traces;
        assert_eq!(files.len(), corpus().len());
        for (file, embedded) in files.iter().zip(corpus()) {
            assert_eq!(file.file_stem().unwrap(), embedded.name);
            assert_eq!(Trace::read(file).unwrap(), embedded.read().unwrap());
        }
    }
}
