use super::{End, EndLine, Header, Step, StepLine, check_header, check_step};
use crate::Config;
use std::io::{self, Write};

/// Writes a trace line by line. It refuses whatever [`super::TraceReader`] would refuse; a trace whose
/// writer was dropped before [`TraceWriter::finish`] is one that no reader accepts.
pub struct TraceWriter<W: Write> {
    sink: W,
    config: Config,
    steps: u64,
}

impl<W: Write> TraceWriter<W> {
    /// Begins a trace.
    ///
    /// # Errors
    /// The sink fails, or the header is not well formed (`InvalidData`).
    pub fn new(mut sink: W, header: &Header) -> io::Result<TraceWriter<W>> {
        check_header(header).map_err(|(field, what)| refuse(&field, &what))?;
        write_line(&mut sink, header)?;
        Ok(TraceWriter {
            sink,
            config: header.config.clone(),
            steps: 0,
        })
    }

    /// Writes one step.
    ///
    /// # Errors
    /// The sink fails, or the step is not well formed (`InvalidData`).
    pub fn step(&mut self, step: &Step) -> io::Result<()> {
        check_step(&self.config, step).map_err(|(field, what)| refuse(&field, &what))?;
        self.steps += 1;
        let line = StepLine {
            step: self.steps,
            event: &step.event,
            expect: step.expected.as_ref(),
        };
        write_line(&mut self.sink, &line)
    }

    /// Ends the trace and gives the sink back.
    ///
    /// # Errors
    /// The sink fails, or there was no step (`InvalidData`).
    pub fn finish(mut self) -> io::Result<W> {
        if self.steps == 0 {
            return Err(refuse("end.steps", "a trace has at least one step"));
        }
        let steps = self.steps;
        write_line(&mut self.sink, &EndLine { end: End { steps } })?;
        self.sink.flush()?;
        Ok(self.sink)
    }
}

fn write_line(sink: &mut impl Write, line: &impl serde::Serialize) -> io::Result<()> {
    // In one piece, so that a writer that is killed leaves at most one torn line.
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    sink.write_all(&bytes)
}

fn refuse(field: &str, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("`{field}`: {what}"))
}
