//! Reading a range of the disk.

use super::compressed::Decoder;
use super::header::Header;
use super::mapping::{Cluster, Mapping};
use crate::metadata::read_failed;
use crate::output::Output;
use crate::refusal::ImageError;
use crate::source::ReadAt;

pub(super) fn read(
    header: &Header,
    source: &dyn ReadAt,
    offset: u64,
    buffer: &mut [u8],
) -> Result<(), ImageError> {
    let mut output = Output::new(source, offset, buffer);
    let (cluster, window) = (header.cluster_size(), output.window());
    let (mut decoder, mut stream) = (Decoder::default(), Vec::new());
    Mapping { header, source }.clusters(window.clone(), &mut |guest, found| match found {
        Cluster::Plain { .. } => {
            found.plain_runs(guest, cluster, &window, &mut |run, host| output.plain(&run, host))
        }
        Cluster::Compressed { host, len } => {
            stream.resize(usize::try_from(len).unwrap_or(0), 0);
            source.read_exact_at(&mut stream, host).map_err(read_failed)?;
            output.decoded(&(guest..guest + cluster), &mut |part| {
                decoder.decode(header.compression, &stream, part)
            })
        }
    })?;
    output.finish()
}
