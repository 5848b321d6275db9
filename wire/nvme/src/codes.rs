//! Operation codes and identifiers that select what a command is about.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

open_enum! {
    /// Opcode on the admin queue (Base 2.1, 3.1.3.4 and 5).
    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
    pub struct AdminOpcode(u8) {
        DELETE_SQ = 0x00 => "Delete I/O Submission Queue",
        CREATE_SQ = 0x01 => "Create I/O Submission Queue",
        GET_LOG_PAGE = 0x02 => "Get Log Page",
        DELETE_CQ = 0x04 => "Delete I/O Completion Queue",
        CREATE_CQ = 0x05 => "Create I/O Completion Queue",
        IDENTIFY = 0x06 => "Identify",
        ABORT = 0x08 => "Abort",
        SET_FEATURES = 0x09 => "Set Features",
        GET_FEATURES = 0x0a => "Get Features",
        ASYNC_EVENT_REQUEST = 0x0c => "Asynchronous Event Request",
        NAMESPACE_MANAGEMENT = 0x0d => "Namespace Management",
        FIRMWARE_COMMIT = 0x10 => "Firmware Commit",
        FIRMWARE_DOWNLOAD = 0x11 => "Firmware Image Download",
        DEVICE_SELF_TEST = 0x14 => "Device Self-test",
        NAMESPACE_ATTACHMENT = 0x15 => "Namespace Attachment",
        KEEP_ALIVE = 0x18 => "Keep Alive",
        DIRECTIVE_SEND = 0x19 => "Directive Send",
        DIRECTIVE_RECEIVE = 0x1a => "Directive Receive",
        VIRTUALIZATION = 0x1c => "Virtualization Management",
        MI_SEND = 0x1d => "NVMe-MI Send",
        MI_RECEIVE = 0x1e => "NVMe-MI Receive",
        CAPACITY_MANAGEMENT = 0x20 => "Capacity Management",
        LOCKDOWN = 0x24 => "Lockdown",
        DOORBELL_BUFFER_CONFIG = 0x7c => "Doorbell Buffer Config",
        FABRICS = 0x7f => "Fabrics",
        FORMAT_NVM = 0x80 => "Format NVM",
        SECURITY_SEND = 0x81 => "Security Send",
        SECURITY_RECEIVE = 0x82 => "Security Receive",
        SANITIZE = 0x84 => "Sanitize",
        GET_LBA_STATUS = 0x86 => "Get LBA Status",
    }
}

open_enum! {
    /// Opcode on an I/O queue (NVM 1.1, 3.3; ZNS 1.1, 3.4; Base 2.1, 7).
    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
    pub struct IoOpcode(u8) {
        FLUSH = 0x00 => "Flush",
        WRITE = 0x01 => "Write",
        READ = 0x02 => "Read",
        WRITE_UNCORRECTABLE = 0x04 => "Write Uncorrectable",
        COMPARE = 0x05 => "Compare",
        WRITE_ZEROES = 0x08 => "Write Zeroes",
        DATASET_MANAGEMENT = 0x09 => "Dataset Management",
        VERIFY = 0x0c => "Verify",
        RESERVATION_REGISTER = 0x0d => "Reservation Register",
        RESERVATION_REPORT = 0x0e => "Reservation Report",
        RESERVATION_ACQUIRE = 0x11 => "Reservation Acquire",
        IO_MANAGEMENT_RECEIVE = 0x12 => "I/O Management Receive",
        RESERVATION_RELEASE = 0x15 => "Reservation Release",
        CANCEL = 0x18 => "Cancel",
        COPY = 0x19 => "Copy",
        IO_MANAGEMENT_SEND = 0x1d => "I/O Management Send",
        ZONE_SEND = 0x79 => "Zone Management Send",
        ZONE_RECEIVE = 0x7a => "Zone Management Receive",
        ZONE_APPEND = 0x7d => "Zone Append",
        FABRICS = 0x7f => "Fabrics",
    }
}

open_enum! {
    /// Fabrics command type, byte 4 of a command with opcode 7Fh (Base 2.1, 6).
    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
    pub struct FabricsType(u8) {
        PROPERTY_SET = 0x00 => "Property Set",
        CONNECT = 0x01 => "Connect",
        PROPERTY_GET = 0x04 => "Property Get",
        AUTH_SEND = 0x05 => "Authentication Send",
        AUTH_RECEIVE = 0x06 => "Authentication Receive",
        DISCONNECT = 0x08 => "Disconnect",
    }
}

open_enum! {
    /// Controller or namespace structure, which an Identify asks for (Base 2.1, 5.1.13.1).
    pub struct Cns(u8) {
        NAMESPACE = 0x00 => "Identify Namespace",
        CONTROLLER = 0x01 => "Identify Controller",
        ACTIVE_NAMESPACES = 0x02 => "Active Namespace ID list",
        NAMESPACE_DESCRIPTORS = 0x03 => "Namespace Identification Descriptor list",
        NVM_SETS = 0x04 => "NVM Set List",
        CSI_NAMESPACE = 0x05 => "I/O Command Set specific Identify Namespace",
        CSI_CONTROLLER = 0x06 => "I/O Command Set specific Identify Controller",
        CSI_ACTIVE_NAMESPACES = 0x07 => "I/O Command Set specific Active Namespace ID list",
        INDEPENDENT_NAMESPACE = 0x08 => "I/O Command Set Independent Identify Namespace",
        NAMESPACE_FORMAT = 0x09 => "Identify Namespace for a User Data Format",
        CSI_NAMESPACE_FORMAT = 0x0a => "I/O Command Set specific Identify Namespace for a User Data Format",
        ALLOCATED_NAMESPACES = 0x10 => "Allocated Namespace ID list",
        ALLOCATED_NAMESPACE = 0x11 => "Identify Namespace for an allocated Namespace ID",
        NAMESPACE_CONTROLLERS = 0x12 => "Namespace Attached Controller list",
        SUBSYSTEM_CONTROLLERS = 0x13 => "Controller list of the NVM subsystem",
        PRIMARY_CAPABILITIES = 0x14 => "Primary Controller Capabilities",
        SECONDARY_CONTROLLERS = 0x15 => "Secondary Controller list",
        NAMESPACE_GRANULARITY = 0x16 => "Namespace Granularity List",
        UUIDS = 0x17 => "UUID List",
        DOMAINS = 0x18 => "Domain List",
        ENDURANCE_GROUPS = 0x19 => "Endurance Group List",
        CSI_ALLOCATED_NAMESPACES = 0x1a => "I/O Command Set specific Allocated Namespace ID list",
        CSI_ALLOCATED_NAMESPACE = 0x1b => "I/O Command Set specific Identify Namespace for an allocated Namespace ID",
        COMMAND_SETS = 0x1c => "Identify I/O Command Set",
    }
}

open_enum! {
    /// Command set identifier (Base 2.1, 1.5 and 5.1.13).
    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
    pub struct Csi(u8) {
        NVM = 0x00 => "NVM Command Set",
        KEY_VALUE = 0x01 => "Key Value Command Set",
        ZONED = 0x02 => "Zoned Namespace Command Set",
        SUBSYSTEM_LOCAL_MEMORY = 0x03 => "Subsystem Local Memory Command Set",
        COMPUTATIONAL_PROGRAMS = 0x04 => "Computational Programs Command Set",
    }
}

open_enum! {
    /// Type of a namespace identification descriptor (Base 2.1, 5.1.13.2.3).
    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
    pub struct NidType(u8) {
        EUI64 = 0x01 => "IEEE Extended Unique Identifier",
        NGUID = 0x02 => "Namespace Globally Unique Identifier",
        UUID = 0x03 => "Namespace UUID",
        CSI = 0x04 => "Command Set Identifier",
    }
}

open_enum! {
    /// Log page identifier (Base 2.1, 5.1.12.1).
    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
    pub struct LogId(u8) {
        SUPPORTED = 0x00 => "Supported Log Pages",
        ERROR = 0x01 => "Error Information",
        SMART = 0x02 => "SMART / Health Information",
        FIRMWARE_SLOT = 0x03 => "Firmware Slot Information",
        CHANGED_NAMESPACES = 0x04 => "Changed Attached Namespace List",
        COMMAND_EFFECTS = 0x05 => "Commands Supported and Effects",
        DEVICE_SELF_TEST = 0x06 => "Device Self-test",
        TELEMETRY_HOST = 0x07 => "Telemetry Host-Initiated",
        TELEMETRY_CONTROLLER = 0x08 => "Telemetry Controller-Initiated",
        ENDURANCE_GROUP = 0x09 => "Endurance Group Information",
        ANA = 0x0c => "Asymmetric Namespace Access",
        PERSISTENT_EVENT = 0x0d => "Persistent Event Log",
        LBA_STATUS = 0x0e => "LBA Status Information",
        FEATURE_EFFECTS = 0x12 => "Feature Identifiers Supported and Effects",
        DISCOVERY = 0x70 => "Discovery",
        RESERVATION = 0x80 => "Reservation Notification",
        SANITIZE = 0x81 => "Sanitize Status",
        CHANGED_ZONES = 0xbf => "Changed Zone List",
    }
}

open_enum! {
    /// Feature identifier (Base 2.1, 5.1.25.1; NVM 1.1, 4.1.3).
    pub struct FeatureId(u8) {
        ARBITRATION = 0x01 => "Arbitration",
        POWER_MANAGEMENT = 0x02 => "Power Management",
        LBA_RANGE_TYPE = 0x03 => "LBA Range Type",
        TEMPERATURE_THRESHOLD = 0x04 => "Temperature Threshold",
        ERROR_RECOVERY = 0x05 => "Error Recovery",
        VOLATILE_WRITE_CACHE = 0x06 => "Volatile Write Cache",
        NUMBER_OF_QUEUES = 0x07 => "Number of Queues",
        INTERRUPT_COALESCING = 0x08 => "Interrupt Coalescing",
        INTERRUPT_VECTOR = 0x09 => "Interrupt Vector Configuration",
        WRITE_ATOMICITY = 0x0a => "Write Atomicity Normal",
        ASYNC_EVENT_CONFIG = 0x0b => "Asynchronous Event Configuration",
        AUTONOMOUS_POWER = 0x0c => "Autonomous Power State Transition",
        HOST_MEMORY_BUFFER = 0x0d => "Host Memory Buffer",
        TIMESTAMP = 0x0e => "Timestamp",
        KEEP_ALIVE_TIMER = 0x0f => "Keep Alive Timer",
        HOST_THERMAL = 0x10 => "Host Controlled Thermal Management",
        NON_OPERATIONAL_POWER = 0x11 => "Non-Operational Power State Config",
        READ_RECOVERY_LEVEL = 0x12 => "Read Recovery Level Config",
        HOST_BEHAVIOR = 0x16 => "Host Behavior Support",
        SANITIZE_CONFIG = 0x17 => "Sanitize Config",
        COMMAND_SET_PROFILE = 0x19 => "I/O Command Set Profile",
        SOFTWARE_PROGRESS = 0x80 => "Software Progress Marker",
        HOST_ID = 0x81 => "Host Identifier",
        RESERVATION_MASK = 0x82 => "Reservation Notification Mask",
        RESERVATION_PERSISTENCE = 0x83 => "Reservation Persistence",
        NAMESPACE_WRITE_PROTECT = 0x84 => "Namespace Write Protection Config",
    }
}

open_enum! {
    /// Which value of a feature a Get Features asks for (Base 2.1, 5.1.11).
    pub struct FeatureSelect(u8) {
        CURRENT = 0 => "Current",
        DEFAULT = 1 => "Default",
        SAVED = 2 => "Saved",
        CAPABILITIES = 3 => "Supported Capabilities",
    }
}

open_enum! {
    /// Transport type of a discovery log entry (Base 2.1, 5.1.12.3.1: TRTYPE).
    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
    pub struct TransportType(u8) {
        PCIE = 0 => "PCIe",
        RDMA = 1 => "RDMA",
        FC = 2 => "Fibre Channel",
        TCP = 3 => "TCP",
        LOOP = 254 => "Intra-host",
    }
}

open_enum! {
    /// Address family of a discovery log entry (Base 2.1, 5.1.12.3.1: ADRFAM).
    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
    pub struct AddressFamily(u8) {
        UNSPECIFIED = 0 => "Unspecified",
        IPV4 = 1 => "IPv4",
        IPV6 = 2 => "IPv6",
        IB = 3 => "InfiniBand",
        FC = 4 => "Fibre Channel",
        LOOP = 254 => "Intra-host",
    }
}

open_enum! {
    /// Subsystem type of a discovery log entry (Base 2.1, 5.1.12.3.1: SUBTYPE).
    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
    pub struct SubsystemType(u8) {
        REFERRAL = 1 => "Discovery subsystem (referral)",
        NVM = 2 => "NVM subsystem",
        CURRENT_DISCOVERY = 3 => "Current discovery subsystem",
    }
}

open_enum! {
    /// Security of a TCP port in a discovery log entry (TCP 1.1, 3.1.2: SECTYPE).
    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
    pub struct SecureType(u8) {
        NONE = 0 => "No security",
        TLS12 = 1 => "TLS 1.2",
        TLS13 = 2 => "TLS 1.3",
    }
}
