//! What a method answers when it cannot do what was asked.
//!
//! Code and message are SPDK's, word for word, because clients and test scripts look for them. What helps a person goes
//! into `data`, which JSON-RPC reserves for that and SPDK's client prints.

use serde::Serialize;
use std::borrow::Cow;
use std::fmt;

#[cfg(test)]
mod tests;

/// An error reply: SPDK's code and message, and in `data` what a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RpcError {
    /// Negative errno, or a JSON-RPC code (-32768 to -32000), or -1 for the wrong state.
    pub code: i64,
    /// SPDK's text for it.
    pub message: Cow<'static, str>,
    /// What to do about it, or which parameter is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

/// Linux errno values with glibc's texts, which are what SPDK sends. Other C libraries word them differently.
const ERRNO: &[(i32, &str)] = &[
    (1, "Operation not permitted"),
    (2, "No such file or directory"),
    (4, "Interrupted system call"),
    (5, "Input/output error"),
    (6, "No such device or address"),
    (7, "Argument list too long"),
    (9, "Bad file descriptor"),
    (11, "Resource temporarily unavailable"),
    (12, "Cannot allocate memory"),
    (13, "Permission denied"),
    (14, "Bad address"),
    (15, "Block device required"),
    (16, "Device or resource busy"),
    (17, "File exists"),
    (18, "Invalid cross-device link"),
    (19, "No such device"),
    (20, "Not a directory"),
    (21, "Is a directory"),
    (22, "Invalid argument"),
    (23, "Too many open files in system"),
    (24, "Too many open files"),
    (26, "Text file busy"),
    (27, "File too large"),
    (28, "No space left on device"),
    (30, "Read-only file system"),
    (32, "Broken pipe"),
    (34, "Numerical result out of range"),
    (36, "File name too long"),
    (38, "Function not implemented"),
    (39, "Directory not empty"),
    (61, "No data available"),
    (71, "Protocol error"),
    (74, "Bad message"),
    (75, "Value too large for defined data type"),
    (84, "Invalid or incomplete multibyte or wide character"),
    (92, "Protocol not available"),
    (93, "Protocol not supported"),
    (95, "Operation not supported"),
    (97, "Address family not supported by protocol"),
    (98, "Address already in use"),
    (99, "Cannot assign requested address"),
    (100, "Network is down"),
    (101, "Network is unreachable"),
    (103, "Software caused connection abort"),
    (104, "Connection reset by peer"),
    (105, "No buffer space available"),
    (107, "Transport endpoint is not connected"),
    (108, "Cannot send after transport endpoint shutdown"),
    (110, "Connection timed out"),
    (111, "Connection refused"),
    (113, "No route to host"),
    (114, "Operation already in progress"),
    (115, "Operation now in progress"),
    (122, "Disk quota exceeded"),
    (125, "Operation canceled"),
];

impl RpcError {
    /// JSON could not be read; the connection ends.
    pub const PARSE_ERROR: i64 = -32700;
    /// JSON, but not a request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method, or not an allowed one.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// Parameters that the method does not take.
    pub const INVALID_PARAMS: i64 = -32602;
    /// Anything else; SPDK's older handlers also answer bad parameters with it.
    pub const INTERNAL_ERROR: i64 = -32603;
    /// Not in this state.
    pub const INVALID_STATE: i64 = -1;

    /// An error of exactly this code and message.
    pub fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The negative errno with the C library's text, as most of SPDK's handlers answer.
    pub fn errno(errno: i32) -> Self {
        let errno = errno.saturating_abs();
        let known = ERRNO.iter().find(|(number, _)| *number == errno);
        let message = match known {
            Some((_, text)) => Cow::Borrowed(*text),
            None => Cow::Owned(format!("Unknown error {errno}")),
        };
        Self::new(-i64::from(errno), message)
    }

    /// Adds what a person should know or do.
    #[must_use]
    pub fn because(mut self, detail: impl fmt::Display) -> Self {
        self.data = Some(detail.to_string());
        self
    }

    /// EPERM.
    pub fn not_permitted() -> Self {
        Self::errno(1)
    }

    /// ENOENT.
    pub fn not_found() -> Self {
        Self::errno(2)
    }

    /// EIO.
    pub fn io() -> Self {
        Self::errno(5)
    }

    /// ENOMEM.
    pub fn no_memory() -> Self {
        Self::errno(12)
    }

    /// EBUSY.
    pub fn busy() -> Self {
        Self::errno(16)
    }

    /// EEXIST.
    pub fn exists() -> Self {
        Self::errno(17)
    }

    /// ENODEV.
    pub fn no_device() -> Self {
        Self::errno(19)
    }

    /// EINVAL.
    pub fn invalid_argument() -> Self {
        Self::errno(22)
    }

    /// ENOSPC.
    pub fn no_space() -> Self {
        Self::errno(28)
    }

    /// EOPNOTSUPP.
    pub fn not_supported() -> Self {
        Self::errno(95)
    }

    /// -32602 in SPDK's words.
    pub fn invalid_params(detail: impl fmt::Display) -> Self {
        Self::new(Self::INVALID_PARAMS, "Invalid parameters").because(detail)
    }

    /// -32603 with the words that SPDK's older handlers use for parameters that they cannot decode.
    pub fn decode_failed(detail: impl fmt::Display) -> Self {
        Self::new(Self::INTERNAL_ERROR, "spdk_json_decode_object failed").because(detail)
    }

    /// -32603 with a message of one's own.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Self::INTERNAL_ERROR, message)
    }

    /// -32601.
    pub fn method_not_found() -> Self {
        Self::new(Self::METHOD_NOT_FOUND, "Method not found")
    }

    /// -32600.
    pub fn invalid_request(detail: impl fmt::Display) -> Self {
        Self::new(Self::INVALID_REQUEST, "Invalid request").because(detail)
    }

    /// -32700; the caller closes the connection after it.
    pub fn parse_error(detail: impl fmt::Display) -> Self {
        Self::new(Self::PARSE_ERROR, "Parse error").because(detail)
    }

    /// A startup method called after `framework_start_init`.
    pub fn only_before_init() -> Self {
        Self::new(
            Self::INVALID_STATE,
            "Method may only be called before framework is initialized. Use --wait-for-rpc command line parameter and then issue this RPC before the framework_start_init RPC.",
        )
    }

    /// A runtime method called before `framework_start_init`.
    pub fn only_after_init() -> Self {
        Self::new(Self::INVALID_STATE, "Method may only be called after framework is initialized using framework_start_init RPC.")
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)?;
        match &self.data {
            Some(data) => write!(f, ": {data}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RpcError {}

impl From<std::io::Error> for RpcError {
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::errno(errno),
            None => Self::io().because(error),
        }
    }
}
