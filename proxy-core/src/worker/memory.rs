//! Memory of processes.
/// Resident memory of a process, in bytes.
pub fn resident_bytes(_pid: u32) -> Option<u64> {
    None
}
