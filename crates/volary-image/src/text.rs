//! Descriptions of virtual machines, which name disks and are none: OVF (DMTF DSP0243) and VMware's `.vmx`.

use crate::format::Format;

/// As much as is looked at: an OVF names its language in its first element, a `.vmx` itself in its first lines.
const MOST: usize = 8 << 10;
const OVF: &[u8] = b"http://schemas.dmtf.org/ovf/envelope";
/// Whose versions stand in the beginning of a `.vmx`, whoever wrote it.
const VMX: [&[u8]; 2] = [b"config", b"virtualHW"];

/// The description that a file's beginning is.
pub(crate) fn of(head: &[u8]) -> Option<Format> {
    let head = &head[..head.len().min(MOST)];
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    if text.starts_with(b"<") && text.windows(OVF.len()).any(|part| part == OVF) {
        return Some(Format::Ovf);
    }
    // Lines of text only: whatever a disk holds further on says nothing.
    let lines = text.split(|&byte| byte == b'\n').take_while(|line| !line.contains(&0));
    let is_version = |line: &[u8]| {
        let key = line.split(|&byte| byte == b'=').next().unwrap_or_default().trim_ascii();
        let of = key.strip_suffix(b".version").unwrap_or_default();
        line.contains(&b'=') && VMX.iter().any(|known| of.eq_ignore_ascii_case(known))
    };
    lines.take(64).any(is_version).then_some(Format::Vmx)
}
