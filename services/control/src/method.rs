//! A method: a name, when it may be called, its parameters, and the function that does it.

use crate::error::RpcError;
use crate::field::Field;
use crate::interface::spdk;
use crate::keep::Keep;
use crate::param::{Given, Params};
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

/// A future of the control plane: it stays on the reactor that made it.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// When a method may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Only before `framework_start_init`.
    Startup,
    /// Only after it.
    Runtime,
    /// Before and after.
    Any,
}

impl When {
    /// The states as SPDK's schema lists them.
    pub const fn states(self) -> &'static [&'static str] {
        match self {
            Self::Startup => &["startup"],
            Self::Runtime => &["runtime"],
            Self::Any => &["startup", "runtime"],
        }
    }
}

/// Another name of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias {
    /// The name.
    pub name: &'static str,
    /// Whether a call by it is logged, once, with the present name.
    pub deprecated: bool,
}

type Function = Rc<dyn Fn(Option<Value>) -> LocalFuture<Result<Value, RpcError>>>;

/// What a call does.
#[derive(Clone)]
pub(crate) enum Run {
    /// Runs its function.
    Typed(Function),
    /// Is remembered for the saved configuration.
    Kept(Keep),
}

/// One method of the interface.
#[derive(Clone)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// Other names under which it is found.
    pub aliases: Vec<Alias>,
    /// When it may be called.
    pub when: When,
    /// What it does, in a sentence or more.
    pub doc: &'static str,
    /// Its parameters.
    pub fields: &'static [Field],
    /// What to use instead, if it is deprecated.
    pub deprecated: Option<&'static str>,
    pub(crate) run: Run,
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method").field("name", &self.name).field("when", &self.when).finish_non_exhaustive()
    }
}

impl Method {
    /// Adds a name under which it is found too.
    pub fn alias(&mut self, name: &'static str) -> &mut Self {
        self.aliases.push(Alias { name, deprecated: false });
        self
    }

    /// Adds a former name: found, but a call by it is logged once.
    pub fn former_name(&mut self, name: &'static str) -> &mut Self {
        self.aliases.push(Alias { name, deprecated: true });
        self
    }

    /// Marks it deprecated; a call is logged once, with what to use instead.
    pub fn deprecated(&mut self, instead: &'static str) -> &mut Self {
        self.deprecated = Some(instead);
        self
    }

    /// Whether calls to it only change what a saved configuration says.
    pub fn is_kept(&self) -> bool {
        matches!(self.run, Run::Kept(_))
    }
}

/// Where a part puts its methods.
#[derive(Debug, Default)]
pub struct Methods(pub(crate) Vec<Method>);

impl Methods {
    /// Adds a method: name, when, what it does, and the function.
    ///
    /// ```
    /// use doorbell_control::{Methods, When, params};
    ///
    /// params! {
    ///     /// Adds.
    ///     struct Add {
    ///         /// One number.
    ///         a: u32,
    ///         /// Another one.
    ///         b: u32 = 1,
    ///     }
    /// }
    /// let mut methods = Methods::default();
    /// methods.add("doorbell_add", When::Any, "Adds two numbers.", |p: Add| async move { Ok(p.a + p.b) });
    /// ```
    pub fn add<P, R, F, A>(&mut self, name: &'static str, when: When, doc: &'static str, run: A) -> &mut Method
    where
        P: Params + 'static,
        R: Serialize,
        F: Future<Output = Result<R, RpcError>> + 'static,
        A: Fn(P) -> F + 'static,
    {
        let function = move |params: Option<Value>| -> LocalFuture<Result<Value, RpcError>> {
            match Given::params(params).and_then(P::from_given) {
                Ok(params) => {
                    let answer = run(params);
                    Box::pin(async move { to_json(answer.await?) })
                }
                Err(fault) => {
                    let refusal = spdk().refusal(name, &fault);
                    Box::pin(std::future::ready(Err(refusal)))
                }
            }
        };
        self.push(Method { name, aliases: Vec::new(), when, doc, fields: P::FIELDS, deprecated: None, run: Run::Typed(Rc::new(function)) })
    }

    /// Adds a tuning method whose object does not exist here: its parameters are checked against SPDK's interface and
    /// kept for the saved configuration, and the first call is logged as changing nothing.
    ///
    /// # Panics
    /// When the table of SPDK's interface has no such method: that is a slip in the code that registers it.
    pub fn keep(&mut self, keep: Keep) -> &mut Method {
        let spec = spdk().method(keep.method).expect("a kept method is one of SPDK's interface");
        self.push(Method {
            name: spec.name,
            aliases: Vec::new(),
            when: spec.when,
            doc: "Checked and kept for the saved configuration. What it tunes in SPDK does not exist here, so it changes nothing else.",
            fields: spec.fields,
            deprecated: None,
            run: Run::Kept(keep),
        })
    }

    fn push(&mut self, method: Method) -> &mut Method {
        self.0.push(method);
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}

fn to_json(result: impl Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(result).map_err(|error| RpcError::internal("Internal error").because(error))
}
