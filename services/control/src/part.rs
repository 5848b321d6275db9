//! A part: a subsystem that brings methods and can be configured, started, saved and stopped.

use crate::error::RpcError;
use crate::method::{LocalFuture, Methods};
use crate::param::Params;
use serde::Serialize;
use serde_json::{Map, Value};
use std::rc::Rc;

/// One call of a saved configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfigCall {
    /// The method.
    pub method: &'static str,
    /// Its parameters, absent when it takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<Map<String, Value>>,
}

impl ConfigCall {
    /// A call with the parameters that a typed struct holds.
    pub fn new(method: &'static str, params: &impl Params) -> Self {
        Self::with(method, params.to_object())
    }

    /// A call with these parameters.
    pub fn with(method: &'static str, params: Map<String, Value>) -> Self {
        Self { method, params: (!params.is_empty()).then_some(params) }
    }

    /// A call without parameters.
    pub fn bare(method: &'static str) -> Self {
        Self { method, params: None }
    }
}

/// A subsystem, in SPDK's sense of the word.
pub trait Part {
    /// SPDK's name for it (`bdev`, `nvmf`, `sock`, ...).
    fn name(&self) -> &'static str;

    /// Parts that start and are saved before it. One that this process does not have is no error.
    fn depends_on(&self) -> &'static [&'static str] {
        &[]
    }

    /// Brings its methods.
    fn methods(self: Rc<Self>, methods: &mut Methods);

    /// The calls that would configure it as it is now, in an order in which they succeed.
    fn save(&self) -> Vec<ConfigCall> {
        Vec::new()
    }

    /// Starts it; runs inside `framework_start_init`, after what it depends on.
    fn init(self: Rc<Self>) -> LocalFuture<Result<(), RpcError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Stops it; runs before what it depends on is stopped.
    fn stop(self: Rc<Self>) -> LocalFuture<()> {
        Box::pin(std::future::ready(()))
    }
}
