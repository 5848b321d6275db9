//! Status of a completion: code type, code and hints (Base 2.1, 4.2.3; NVM 1.1, 3.1.2).

use core::fmt;

open_enum! {
    /// Status code type (Base 2.1, 4.2.3).
    pub struct StatusCodeType(u8) {
        GENERIC = 0 => "Generic Command Status",
        COMMAND_SPECIFIC = 1 => "Command Specific Status",
        MEDIA = 2 => "Media and Data Integrity Errors",
        PATH = 3 => "Path Related Status",
        VENDOR = 7 => "Vendor Specific",
    }
}

/// The 15 status bits of a completion, without its phase: SC in bits 7:0, SCT 10:8, CRD 12:11, More 13,
/// Do Not Retry 14 (Base 2.1, 4.2.3). Compare codes with [`Status::is`], which ignores the hints.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Status(u16);

const CODE: u16 = 0x07ff;
const MORE: u16 = 1 << 13;
const DNR: u16 = 1 << 14;

impl Status {
    /// A status of a type and a code, without hints.
    pub const fn new(sct: StatusCodeType, sc: u8) -> Self {
        Self(((sct.0 as u16 & 7) << 8) | sc as u16)
    }

    /// From the 15 bits of a completion (bit 0 is the lowest bit of the code, the phase is not among them).
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & 0x7fff)
    }

    /// The 15 bits, hints included.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Status code type.
    pub const fn sct(self) -> StatusCodeType {
        StatusCodeType(((self.0 >> 8) & 7) as u8)
    }

    /// Status code.
    pub const fn sc(self) -> u8 {
        (self.0 & 0xff) as u8
    }

    /// Command retry delay, an index into CRDT1..3 of the identify data (0: none).
    pub const fn crd(self) -> u8 {
        ((self.0 >> 11) & 3) as u8
    }

    /// The same with Do Not Retry set.
    pub const fn dnr(self) -> Self {
        Self(self.0 | DNR)
    }

    /// The same with More set: the error log has an entry for this command.
    pub const fn more(self) -> Self {
        Self(self.0 | MORE)
    }

    /// The same with a retry delay index, 0 to 3.
    pub const fn with_crd(self, crd: u8) -> Self {
        Self((self.0 & !(3 << 11)) | ((crd as u16 & 3) << 11))
    }

    /// Whether a retry cannot help.
    pub const fn is_dnr(self) -> bool {
        self.0 & DNR != 0
    }

    /// Whether the error log has more about it.
    pub const fn is_more(self) -> bool {
        self.0 & MORE != 0
    }

    /// Type and code alone.
    pub const fn code(self) -> Self {
        Self(self.0 & CODE)
    }

    /// Whether type and code are those of `other`, whatever the hints.
    pub const fn is(self, other: Self) -> bool {
        self.0 & CODE == other.0 & CODE
    }

    /// Whether the command succeeded.
    pub const fn is_ok(self) -> bool {
        self.0 & CODE == 0
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name().or(self.sct().name()).unwrap_or("Reserved");
        write!(f, "{name} ({:02x}h/{:02x}h)", self.sct().0, self.sc())?;
        if self.is_dnr() {
            f.write_str(", do not retry")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({:04x}h: {self})", self.0)
    }
}

/// Declares the codes (bits 10:0) with their names. A code may have two names where command sets overlap:
/// `name` then answers with the one of the list's first entry.
macro_rules! codes {
    ($( $name:ident = $value:literal => $text:literal, )*) => {
        impl Status {
            $( #[doc = $text] pub const $name: Self = Self($value); )*

            /// The name that the specification gives the code; `None` when it is not known here.
            #[allow(unreachable_patterns, reason = "I/O and fabrics commands share codes; the first name wins")]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 & CODE {
                    $( $value => Some($text), )*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    // Generic (Base 2.1, 4.2.3.1).
    SUCCESS = 0x000 => "Successful Completion",
    INVALID_OPCODE = 0x001 => "Invalid Command Opcode",
    INVALID_FIELD = 0x002 => "Invalid Field in Command",
    CID_CONFLICT = 0x003 => "Command ID Conflict",
    DATA_TRANSFER_ERROR = 0x004 => "Data Transfer Error",
    ABORTED_POWER_LOSS = 0x005 => "Commands Aborted due to Power Loss Notification",
    INTERNAL_ERROR = 0x006 => "Internal Error",
    ABORT_REQUESTED = 0x007 => "Command Abort Requested",
    ABORTED_SQ_DELETION = 0x008 => "Command Aborted due to SQ Deletion",
    ABORTED_FAILED_FUSED = 0x009 => "Command Aborted due to Failed Fused Command",
    ABORTED_MISSING_FUSED = 0x00a => "Command Aborted due to Missing Fused Command",
    INVALID_NAMESPACE = 0x00b => "Invalid Namespace or Format",
    COMMAND_SEQUENCE_ERROR = 0x00c => "Command Sequence Error",
    INVALID_SGL_SEGMENT = 0x00d => "Invalid SGL Segment Descriptor",
    INVALID_SGL_COUNT = 0x00e => "Invalid Number of SGL Descriptors",
    DATA_SGL_LENGTH_INVALID = 0x00f => "Data SGL Length Invalid",
    METADATA_SGL_LENGTH_INVALID = 0x010 => "Metadata SGL Length Invalid",
    SGL_TYPE_INVALID = 0x011 => "SGL Descriptor Type Invalid",
    INVALID_CMB_USE = 0x012 => "Invalid Use of Controller Memory Buffer",
    PRP_OFFSET_INVALID = 0x013 => "PRP Offset Invalid",
    ATOMIC_WRITE_EXCEEDED = 0x014 => "Atomic Write Unit Exceeded",
    OPERATION_DENIED = 0x015 => "Operation Denied",
    SGL_OFFSET_INVALID = 0x016 => "SGL Offset Invalid",
    HOST_ID_FORMAT = 0x018 => "Host Identifier Inconsistent Format",
    KEEP_ALIVE_EXPIRED = 0x019 => "Keep Alive Timer Expired",
    KEEP_ALIVE_INVALID = 0x01a => "Keep Alive Timeout Invalid",
    ABORTED_PREEMPT = 0x01b => "Command Aborted due to Preempt and Abort",
    SANITIZE_FAILED = 0x01c => "Sanitize Failed",
    SANITIZE_IN_PROGRESS = 0x01d => "Sanitize In Progress",
    SGL_GRANULARITY_INVALID = 0x01e => "SGL Data Block Granularity Invalid",
    NOT_SUPPORTED_IN_CMB = 0x01f => "Command Not Supported for Queue in CMB",
    WRITE_PROTECTED = 0x020 => "Namespace is Write Protected",
    INTERRUPTED = 0x021 => "Command Interrupted",
    TRANSIENT_TRANSPORT_ERROR = 0x022 => "Transient Transport Error",
    LOCKDOWN = 0x023 => "Command Prohibited by Command and Feature Lockdown",
    MEDIA_NOT_READY = 0x024 => "Admin Command Media Not Ready",
    INVALID_KEY_TAG = 0x025 => "Invalid Key Tag",
    DISPERSED_NOT_ENABLED = 0x026 => "Host Dispersed Namespace Support Not Enabled",
    HOST_ID_NOT_INITIALIZED = 0x027 => "Host Identifier Not Initialized",
    INCORRECT_KEY = 0x028 => "Incorrect Key",
    FDP_DISABLED = 0x029 => "FDP Disabled",
    INVALID_PLACEMENT_LIST = 0x02a => "Invalid Placement Handle List",
    LBA_OUT_OF_RANGE = 0x080 => "LBA Out of Range",
    CAPACITY_EXCEEDED = 0x081 => "Capacity Exceeded",
    NAMESPACE_NOT_READY = 0x082 => "Namespace Not Ready",
    RESERVATION_CONFLICT = 0x083 => "Reservation Conflict",
    FORMAT_IN_PROGRESS = 0x084 => "Format In Progress",

    // Command specific (Base 2.1, 4.2.3.2).
    INVALID_CQ = 0x100 => "Completion Queue Invalid",
    INVALID_QUEUE_ID = 0x101 => "Invalid Queue Identifier",
    INVALID_QUEUE_SIZE = 0x102 => "Invalid Queue Size",
    ABORT_LIMIT_EXCEEDED = 0x103 => "Abort Command Limit Exceeded",
    AER_LIMIT_EXCEEDED = 0x105 => "Asynchronous Event Request Limit Exceeded",
    INVALID_FIRMWARE_SLOT = 0x106 => "Invalid Firmware Slot",
    INVALID_FIRMWARE_IMAGE = 0x107 => "Invalid Firmware Image",
    INVALID_INTERRUPT_VECTOR = 0x108 => "Invalid Interrupt Vector",
    INVALID_LOG_PAGE = 0x109 => "Invalid Log Page",
    INVALID_FORMAT = 0x10a => "Invalid Format",
    FIRMWARE_NEEDS_CONVENTIONAL_RESET = 0x10b => "Firmware Activation Requires Conventional Reset",
    INVALID_QUEUE_DELETION = 0x10c => "Invalid Queue Deletion",
    FEATURE_NOT_SAVEABLE = 0x10d => "Feature Identifier Not Saveable",
    FEATURE_NOT_CHANGEABLE = 0x10e => "Feature Not Changeable",
    FEATURE_NOT_PER_NAMESPACE = 0x10f => "Feature Not Namespace Specific",
    FIRMWARE_NEEDS_SUBSYSTEM_RESET = 0x110 => "Firmware Activation Requires NVM Subsystem Reset",
    FIRMWARE_NEEDS_CONTROLLER_RESET = 0x111 => "Firmware Activation Requires Controller Level Reset",
    FIRMWARE_NEEDS_TIME = 0x112 => "Firmware Activation Requires Maximum Time Violation",
    FIRMWARE_PROHIBITED = 0x113 => "Firmware Activation Prohibited",
    OVERLAPPING_RANGE = 0x114 => "Overlapping Range",
    NAMESPACE_CAPACITY = 0x115 => "Namespace Insufficient Capacity",
    NAMESPACE_ID_UNAVAILABLE = 0x116 => "Namespace Identifier Unavailable",
    NAMESPACE_ATTACHED = 0x118 => "Namespace Already Attached",
    NAMESPACE_PRIVATE = 0x119 => "Namespace Is Private",
    NAMESPACE_NOT_ATTACHED = 0x11a => "Namespace Not Attached",
    THIN_NOT_SUPPORTED = 0x11b => "Thin Provisioning Not Supported",
    INVALID_CONTROLLER_LIST = 0x11c => "Controller List Invalid",
    SELF_TEST_IN_PROGRESS = 0x11d => "Device Self-test In Progress",
    BOOT_PARTITION_PROTECTED = 0x11e => "Boot Partition Write Prohibited",
    INVALID_CONTROLLER_ID = 0x11f => "Invalid Controller Identifier",
    INVALID_SECONDARY_STATE = 0x120 => "Invalid Secondary Controller State",
    INVALID_RESOURCE_COUNT = 0x121 => "Invalid Number of Controller Resources",
    INVALID_RESOURCE_ID = 0x122 => "Invalid Resource Identifier",
    SANITIZE_PROHIBITED = 0x123 => "Sanitize Prohibited While Persistent Memory Region is Enabled",
    INVALID_ANA_GROUP = 0x124 => "ANA Group Identifier Invalid",
    ANA_ATTACH_FAILED = 0x125 => "ANA Attach Failed",
    INSUFFICIENT_CAPACITY = 0x126 => "Insufficient Capacity",
    ATTACHMENT_LIMIT = 0x127 => "Namespace Attachment Limit Exceeded",
    COMMAND_SET_NOT_SUPPORTED = 0x129 => "I/O Command Set Not Supported",
    COMMAND_SET_NOT_ENABLED = 0x12a => "I/O Command Set Not Enabled",
    COMMAND_SET_COMBINATION = 0x12b => "I/O Command Set Combination Rejected",
    INVALID_COMMAND_SET = 0x12c => "Invalid I/O Command Set",
    IDENTIFIER_UNAVAILABLE = 0x12d => "Identifier Unavailable",

    // Command specific, NVM command set (NVM 1.1, 3.1.2). These share their codes with the fabrics ones below;
    // an I/O command means these, a fabrics command those.
    CONFLICTING_ATTRIBUTES = 0x180 => "Conflicting Attributes / Incompatible Format",
    INVALID_PROTECTION_INFO = 0x181 => "Invalid Protection Information / Controller Busy",
    WRITE_TO_READ_ONLY = 0x182 => "Attempted Write to Read Only Range / Connect Invalid Parameters",
    COMMAND_SIZE_LIMIT = 0x183 => "Command Size Limit Exceeded / Connect Restart Discovery",
    INCOMPATIBLE_NAMESPACE = 0x185 => "Incompatible Namespace or Format / Connect Invalid Queue Type",
    FAST_COPY_NOT_POSSIBLE = 0x186 => "Fast Copy Not Possible",
    OVERLAPPING_IO_RANGE = 0x187 => "Overlapping I/O Range",
    NAMESPACE_NOT_REACHABLE = 0x188 => "Namespace Not Reachable",
    INSUFFICIENT_RESOURCES = 0x189 => "Insufficient Resources",

    // Command specific, Zoned Namespace command set (ZNS 1.1, 3.2.1).
    ZONE_BOUNDARY = 0x1b8 => "Zone Boundary Error",
    ZONE_FULL = 0x1b9 => "Zone Is Full",
    ZONE_READ_ONLY = 0x1ba => "Zone Is Read Only",
    ZONE_OFFLINE = 0x1bb => "Zone Is Offline",
    ZONE_INVALID_WRITE = 0x1bc => "Zone Invalid Write",
    TOO_MANY_ACTIVE_ZONES = 0x1bd => "Too Many Active Zones",
    TOO_MANY_OPEN_ZONES = 0x1be => "Too Many Open Zones",
    INVALID_ZONE_TRANSITION = 0x1bf => "Invalid Zone State Transition",

    // Command specific, fabrics (Base 2.1, 4.2.3.2, table of Fabrics commands).
    INCOMPATIBLE_FORMAT = 0x180 => "Incompatible Format",
    CONTROLLER_BUSY = 0x181 => "Controller Busy",
    CONNECT_INVALID_PARAMETERS = 0x182 => "Connect Invalid Parameters",
    CONNECT_RESTART_DISCOVERY = 0x183 => "Connect Restart Discovery",
    CONNECT_INVALID_HOST = 0x184 => "Connect Invalid Host",
    INVALID_QUEUE_TYPE = 0x185 => "Invalid Queue Type",
    DISCOVER_RESTART = 0x190 => "Discover Restart",
    AUTHENTICATION_REQUIRED = 0x191 => "Authentication Required",

    // Media and data integrity (Base 2.1, 4.2.3.3; NVM 1.1, 3.1.2).
    WRITE_FAULT = 0x280 => "Write Fault",
    UNRECOVERED_READ = 0x281 => "Unrecovered Read Error",
    GUARD_CHECK = 0x282 => "End-to-end Guard Check Error",
    APPLICATION_TAG_CHECK = 0x283 => "End-to-end Application Tag Check Error",
    REFERENCE_TAG_CHECK = 0x284 => "End-to-end Reference Tag Check Error",
    COMPARE_FAILURE = 0x285 => "Compare Failure",
    ACCESS_DENIED = 0x286 => "Access Denied",
    DEALLOCATED_BLOCK = 0x287 => "Deallocated or Unwritten Logical Block",
    STORAGE_TAG_CHECK = 0x288 => "End-to-End Storage Tag Check Error",

    // Path related (Base 2.1, 4.2.3.4).
    INTERNAL_PATH_ERROR = 0x300 => "Internal Path Error",
    ANA_PERSISTENT_LOSS = 0x301 => "Asymmetric Access Persistent Loss",
    ANA_INACCESSIBLE = 0x302 => "Asymmetric Access Inaccessible",
    ANA_TRANSITION = 0x303 => "Asymmetric Access Transition",
    CONTROLLER_PATHING_ERROR = 0x360 => "Controller Pathing Error",
    HOST_PATHING_ERROR = 0x370 => "Host Pathing Error",
    ABORTED_BY_HOST = 0x371 => "Command Aborted By Host",
}
